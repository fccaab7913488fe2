// Redrive and purge: of those chosen, at most 100 a request, or of all that the filters find.
import { useQueryClient } from '@tanstack/react-query';
import { api, need } from '../../api/client';
import { text } from '../../text';
import { ConfirmDialog } from '../../ui/Dialog';
import { useToast } from '../../ui/Toast';

const t = text.deadLetters;
const IDS_MAX = 100;

export interface Filter {
  reason?: string | undefined;
  recipient_agent_id?: string | undefined;
  sender_agent_id?: string | undefined;
  search?: string | undefined;
  dateFrom?: string | undefined;
  dateTo?: string | undefined;
}

export interface What {
  do: 'redrive' | 'purge';
  which: string[] | Filter;
  count: number | null;
}

export function LettersDialog({
  what,
  onClose,
  onDone,
}: {
  what: What;
  onClose: () => void;
  onDone: () => void;
}) {
  const client = useQueryClient();
  const toast = useToast();
  const purges = what.do === 'purge';
  const filtered =
    !Array.isArray(what.which) && Object.values(what.which).some((value) => value !== undefined);
  const named = what.count !== null ? t.letters(what.count) : filtered ? t.allMatching : t.allOfThem;

  const one = async (body: { ids: string[] } | (Filter & { all: true })): Promise<number> => {
    if (purges) return (await need(api.POST('/v1/operator/dead-letters/purge', { body }))).purged;
    return (await need(api.POST('/v1/operator/dead-letters/redrive', { body }))).redriven;
  };
  const all = async () => {
    let done = 0;
    if (Array.isArray(what.which)) {
      for (let at = 0; at < what.which.length; at += IDS_MAX)
        done += await one({ ids: what.which.slice(at, at + IDS_MAX) });
    } else {
      done = await one({ all: true, ...what.which });
    }
    toast(purges ? t.purged(done) : t.redriven(done));
    await Promise.all(
      ['dead-letters', 'counts', 'overview'].map((key) => client.invalidateQueries({ queryKey: [key] })),
    );
    onDone();
  };
  return (
    <ConfirmDialog
      title={purges ? t.purgeTitle(named) : t.redriveTitle(named)}
      about={purges ? t.purgeAbout : t.redriveAbout}
      submit={purges ? t.purge : t.redrive}
      danger={purges}
      onSubmit={all}
      onClose={onClose}
    />
  );
}
