import { expect, it } from 'vitest';
import { parseMetrics } from './prometheus';

it('reads counters, labels and histograms', () => {
  const metrics = parseMetrics(
    [
      '# HELP ekho_b Second',
      '# TYPE ekho_b gauge',
      'ekho_b 3',
      '# HELP ekho_a First',
      '# TYPE ekho_a counter',
      'ekho_a{result="ok"} 1',
      'ekho_a{result="failed"} 2.5',
      '# HELP ekho_c Times',
      '# TYPE ekho_c histogram',
      'ekho_c_bucket{le="+Inf"} 4',
      'ekho_c_sum 0.5',
      'ekho_c_count 4',
      '',
    ].join('\n'),
  );
  expect(metrics.map((metric) => metric.name)).toEqual(['ekho_a', 'ekho_b', 'ekho_c']);
  expect(metrics[0]).toEqual({
    name: 'ekho_a',
    help: 'First',
    kind: 'counter',
    samples: [
      { labels: 'result="ok"', value: 1 },
      { labels: 'result="failed"', value: 2.5 },
    ],
  });
  expect(metrics[2]?.samples).toEqual([
    { labels: 'mean', value: 0.125 },
    { labels: 'sum', value: 0.5 },
    { labels: 'count', value: 4 },
  ]);
});
