// The text format that Prometheus reads: names, what they mean, and their values now.

export interface Metric {
  name: string;
  help: string;
  kind: string;
  samples: { labels: string; value: number }[];
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+\d+)?$/;
/** Histograms and summaries have samples under names of their own. */
const SUFFIX = /_(bucket|sum|count)$/;

export function parseMetrics(text: string): Metric[] {
  const metrics = new Map<string, Metric>();
  const of = (name: string): Metric => {
    const known = metrics.get(name) ?? { name, help: '', kind: 'untyped', samples: [] };
    metrics.set(name, known);
    return known;
  };
  for (const line of text.split('\n')) {
    const comment = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line);
    if (comment) {
      const [, what, name = '', rest = ''] = comment;
      if (what === 'HELP') of(name).help = rest.replaceAll('\\n', '\n').replaceAll('\\\\', '\\');
      else of(name).kind = rest;
      continue;
    }
    const sample = SAMPLE.exec(line);
    if (!sample) continue;
    const [, full = '', labels = '', value = ''] = sample;
    const short = full.replace(SUFFIX, '');
    const owner = metrics.has(full) ? full : metrics.has(short) ? short : full;
    if (owner !== full && full.endsWith('_bucket')) continue;
    const what = owner === full ? labels : [full.slice(owner.length + 1), labels].filter(Boolean).join(' ');
    of(owner).samples.push({ labels: what, value: Number(value) });
  }
  for (const metric of metrics.values()) {
    const sum = metric.samples.find((sample) => sample.labels === 'sum')?.value;
    const count = metric.samples.find((sample) => sample.labels === 'count')?.value;
    // What a person wants of a histogram.
    if (sum !== undefined && count) metric.samples.unshift({ labels: 'mean', value: sum / count });
  }
  return [...metrics.values()].sort((one, other) => one.name.localeCompare(other.name));
}
