// When an agent was refused for its rate: by hour, and one by one.
import { useQuery } from '@tanstack/react-query';
import { api, need } from '../../api/client';
import { relaySettingsQuery } from '../../api/settings';
import { text } from '../../text';
import { Chart } from '../../ui/Chart';
import { formatDuration, formatShort } from '../../ui/format';
import { Panel } from '../../ui/Page';
import { Empty, Loaded } from '../../ui/State';
import { Time } from '../../ui/Time';

const t = text.agents.rate;
const HOURS = 24;
const HOUR_MS = 3_600_000;
const SHOWN_MAX = 100;

export function AgentRate({ id }: { id: string }) {
  const rate = useQuery({
    queryKey: ['agent', id, 'rate'],
    queryFn: ({ signal }) =>
      need(api.GET('/v1/operator/agents/{id}/rate-limits', { params: { path: { id } }, signal })),
  });
  const settings = useQuery(relaySettingsQuery);
  const about = settings.data
    ? t.about(settings.data.rate_max_messages, formatDuration(settings.data.rate_window_ms))
    : undefined;
  return (
    <Panel title={t.title} about={about}>
      <Loaded query={rate}>
        {({ violations }) => {
          if (violations.length === 0)
            return (
              <Empty title={t.none} compact>
                <p>{t.noneAbout}</p>
              </Empty>
            );
          const { times, counts } = byHour(
            violations.map((one) => one.created_at),
            Date.now(),
          );
          return (
            <div className="stack wide">
              <Chart
                label={t.hour}
                times={times}
                format={formatShort}
                summary="sum"
                height={140}
                series={[{ name: t.hour, colour: 'var(--series-4)', values: counts, filled: true }]}
              />
              <ul className="chips">
                {violations.slice(0, SHOWN_MAX).map((one) => (
                  <li key={one.id} className="chip">
                    <Time at={one.created_at} as="clock" />
                  </li>
                ))}
              </ul>
            </div>
          );
        }}
      </Loaded>
    </Panel>
  );
}

export function byHour(moments: string[], now: number): { times: string[]; counts: number[] } {
  const counts = Array.from({ length: HOURS }, () => 0);
  const begin = Math.floor(now / HOUR_MS) - HOURS + 1;
  for (const moment of moments) {
    const hour = Math.floor(Date.parse(moment) / HOUR_MS) - begin;
    if (hour >= 0 && hour < HOURS) counts[hour] = (counts[hour] ?? 0) + 1;
  }
  return { times: counts.map((_, hour) => new Date((begin + hour) * HOUR_MS).toISOString()), counts };
}
