// Columns that lists of messages have in common, on whichever page they stand.
import type { Column } from '../ui/DataTable';
import { Time } from '../ui/Time';
import { MessageLink } from './links';

/** When it was accepted, which leads to the message. */
export const whenColumn = <Row extends { id: string; created_at: string }>(header: string): Column<Row> => ({
  id: 'when',
  header,
  width: '110px',
  cell: (row) => (
    <MessageLink id={row.id}>
      <Time at={row.created_at} />
    </MessageLink>
  ),
});
