// The files that a message binds: what each is, how large, and the way to save it.
import type { BoundAttachment } from '../../api/types';
import { text } from '../../text';
import { formatBytes } from '../../ui/format';
import { Icon } from '../../ui/Icon';

const t = text.attachments;

export function Attachments({ of }: { of: BoundAttachment[] }) {
  if (of.length === 0) return null;
  return (
    <ul className="attachments" aria-label={t.title}>
      {of.map((file) => (
        <li key={file.id}>
          {/* The relay sends files to be saved, never to be shown. */}
          <a
            className="attachment"
            href={`/v1/operator/attachments/${encodeURIComponent(file.id)}`}
            download={file.filename}
            title={t.save(file.filename)}
          >
            <Icon name="download" size={14} />
            <span className="attachment-name">{file.filename}</span>
            <span className="small muted">
              {file.mime}, {formatBytes(file.size_bytes)}
            </span>
          </a>
        </li>
      ))}
    </ul>
  );
}
