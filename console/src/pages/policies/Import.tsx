// Policies from a file: first what would be done, then done, all of it or nothing.
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { api, need } from '../../api/client';
import { text } from '../../text';
import { Dialog } from '../../ui/Dialog';
import { Check, TextArea } from '../../ui/Field';
import { ErrorBox, Notice } from '../../ui/State';

const t = text.policies.importing;

export function ImportDialog({ onClose }: { onClose: () => void }) {
  const [file, setFile] = useState('');
  const [others, setOthers] = useState(false);
  const client = useQueryClient();
  const doing = useMutation({
    mutationFn: (dryRun: boolean) =>
      need(
        api.POST('/v1/operator/policies/import', {
          params: { query: { dry_run: dryRun, delete_others: others } },
          // The relay takes YAML and JSON alike, as bytes.
          body: file as never,
          bodySerializer: (body: unknown) => body as string,
          headers: { 'content-type': 'application/yaml' },
        }),
      ),
    onSuccess: (done) => (done.dry_run ? undefined : client.invalidateQueries({ queryKey: ['policies'] })),
  });
  const done = doing.data;
  return (
    <Dialog title={t.title} onClose={onClose} wide>
      <div className="dialog-body">
        <TextArea
          label={t.file}
          hint={t.hint}
          mono
          rows={12}
          value={file}
          spellCheck={false}
          autoFocus
          onChange={(event) => {
            setFile(event.target.value);
            doing.reset();
          }}
        />
        <Check
          label={t.deleteOthers}
          checked={others}
          onChange={(event) => {
            setOthers(event.target.checked);
            doing.reset();
          }}
        />
        {doing.error && <ErrorBox error={doing.error} />}
        {done && (
          <Notice tone={done.dry_run ? 'info' : 'ok'}>
            {done.dry_run ? t.would : t.done}{' '}
            {t.result(done.created, done.updated, done.unchanged, done.deleted)}
          </Notice>
        )}
      </div>
      <div className="dialog-foot">
        <button type="button" className="button" onClick={onClose}>
          {done && !done.dry_run ? text.common.close : text.common.cancel}
        </button>
        <button
          type="button"
          className="button"
          disabled={file.trim() === '' || doing.isPending}
          onClick={() => doing.mutate(true)}
        >
          {t.check}
        </button>
        <button
          type="button"
          className="button primary"
          disabled={!done?.dry_run || doing.isPending}
          onClick={() => doing.mutate(false)}
        >
          {t.apply}
        </button>
      </div>
    </Dialog>
  );
}
