// The table of every list: columns by TanStack Table, rows drawn only where they are in sight
// (TanStack Virtual), further pages asked for as the reader nears the end.
import { tableFeatures, useTable } from '@tanstack/react-table';
import { useWindowVirtualizer } from '@tanstack/react-virtual';
import {
  type KeyboardEvent,
  type MouseEvent,
  type ReactNode,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import type { ListState } from '../api/lists';
import { text } from '../text';
import { formatNumber } from './format';
import { Icon } from './Icon';
import { ErrorBox, Skeleton } from './State';

export interface Column<Row> {
  id: string;
  header: string;
  cell: (row: Row) => ReactNode;
  /** The name by which the relay sorts. */
  sortBy?: string;
  width?: string;
  right?: boolean;
  /** `low` is left out at phone width, `lowest` also on a small screen, `split` beside a detail. */
  when?: 'low' | 'lowest' | 'split';
}

export interface Sorting {
  by: string;
  order: 'asc' | 'desc';
  onSort: (by: string, order: 'asc' | 'desc') => void;
}

export interface Selection {
  ids: ReadonlySet<string>;
  onChange: (ids: Set<string>) => void;
}

interface Props<Row> {
  label: string;
  columns: Column<Row>[];
  list: ListState<Row>;
  idOf: (row: Row) => string;
  onOpen?: (row: Row) => void;
  openId?: string | undefined;
  sorting?: Sorting;
  selection?: Selection;
  empty: ReactNode;
}

const features = tableFeatures({});
const ROW_PX = 38;
/** Fewer rows than this are all drawn, so that the browser's own search finds them. */
const VIRTUAL_FROM = 80;

const classOf = (column: { when?: string; right?: boolean } | undefined): string | undefined => {
  const names = [
    column?.right && 'right',
    column?.when === 'low' && 'low split-hide',
    column?.when === 'lowest' && 'low lowest split-hide',
    column?.when === 'split' && 'split-hide',
  ].filter(Boolean);
  return names.length > 0 ? names.join(' ') : undefined;
};

export function DataTable<Row extends object>(props: Props<Row>) {
  const { list, columns, idOf, selection } = props;
  const byId = useMemo(() => new Map(columns.map((column) => [column.id, column])), [columns]);
  const definitions = useMemo(
    () =>
      columns.map((column) => ({
        id: column.id,
        header: () => column.header,
        cell: (context: { row: { original: Row } }) => column.cell(context.row.original),
      })),
    [columns],
  );
  const table = useTable({ features, columns: definitions, data: list.rows, getRowId: idOf });
  const rows = table.getRowModel().rows;

  const body = useRef<HTMLTableSectionElement>(null);
  const [top, setTop] = useState(0);
  const count = rows.length;
  useLayoutEffect(() => {
    const box = body.current?.getBoundingClientRect();
    if (box) setTop(box.top + window.scrollY);
  }, [count]);
  const virtual = count > VIRTUAL_FROM;
  const virtualizer = useWindowVirtualizer({
    count: virtual ? count : 0,
    estimateSize: () => ROW_PX,
    overscan: 14,
    scrollMargin: top,
  });
  const inSight = virtualizer.getVirtualItems();
  const first = inSight[0];
  const last = inSight[inSight.length - 1];
  const before = virtual && first ? first.start - top : 0;
  const after = virtual && last ? virtualizer.getTotalSize() - (last.end - top) : 0;
  const drawn = virtual ? inSight.map((item) => rows[item.index]).filter((row) => row !== undefined) : rows;
  const width = columns.length + (selection ? 1 : 0);

  if (list.loading)
    return (
      <div className="table-box">
        <Skeleton lines={8} />
      </div>
    );
  if (list.error && count === 0) {
    return (
      <div className="table-box">
        <div className="panel-body">
          <ErrorBox error={list.error} onRetry={list.reload} />
        </div>
      </div>
    );
  }
  if (count === 0 && !list.more) return <div className="table-box">{props.empty}</div>;

  const allIds = selection ? list.rows.map(idOf) : [];
  const allChosen = allIds.length > 0 && allIds.every((id) => selection?.ids.has(id));
  return (
    <div className="table-box">
      <table className="table" aria-rowcount={virtual ? (list.total ?? count) + 1 : undefined}>
        <caption className="hidden-visually">{props.label}</caption>
        <thead>
          {table.getHeaderGroups().map((group) => (
            <tr key={group.id}>
              {selection && (
                <th className="select" scope="col">
                  <input
                    type="checkbox"
                    aria-label={text.common.selectAll}
                    checked={allChosen}
                    onChange={() => selection.onChange(new Set(allChosen ? [] : allIds))}
                  />
                </th>
              )}
              {group.headers.map((header) => {
                const column = byId.get(header.column.id);
                return (
                  <HeaderCell key={header.id} column={column} sorting={props.sorting}>
                    <table.FlexRender header={header} />
                  </HeaderCell>
                );
              })}
            </tr>
          ))}
        </thead>
        <tbody ref={body} onKeyDown={moveByArrows}>
          {before > 0 && (
            <tr className="spacer" aria-hidden="true">
              <td colSpan={width} style={{ height: before }} />
            </tr>
          )}
          {drawn.map((row) => (
            <tr
              key={row.id}
              ref={virtual ? virtualizer.measureElement : undefined}
              data-index={row.index}
              className={rowClass(props, row.id)}
              aria-rowindex={virtual ? row.index + 2 : undefined}
              onClick={(event) => opens(event) && props.onOpen?.(row.original)}
            >
              {selection && (
                <td className="select">
                  <input
                    type="checkbox"
                    aria-label={text.common.select(row.id)}
                    checked={selection.ids.has(row.id)}
                    onChange={() => selection.onChange(toggled(selection.ids, row.id))}
                  />
                </td>
              )}
              {row.getAllCells().map((cell) => (
                <td key={cell.id} className={classOf(byId.get(cell.column.id))}>
                  <table.FlexRender cell={cell} />
                </td>
              ))}
            </tr>
          ))}
          {after > 0 && (
            <tr className="spacer" aria-hidden="true">
              <td colSpan={width} style={{ height: after }} />
            </tr>
          )}
        </tbody>
      </table>
      <Foot list={list} />
    </div>
  );
}

function rowClass<Row>(props: Props<Row>, id: string): string | undefined {
  const names = [
    props.onOpen && 'opens',
    (props.openId === id || props.selection?.ids.has(id)) && 'selected',
  ].filter(Boolean);
  return names.length > 0 ? names.join(' ') : undefined;
}

/** A click on a control within the row is meant for the control; one that ends a selection of text for nobody. */
function opens(event: MouseEvent): boolean {
  if ((event.target as Element).closest('a, button, input, select, label')) return false;
  return !event.metaKey && !event.ctrlKey && window.getSelection()?.isCollapsed !== false;
}

function toggled(ids: ReadonlySet<string>, id: string): Set<string> {
  const after = new Set(ids);
  if (!after.delete(id)) after.add(id);
  return after;
}

function moveByArrows(event: KeyboardEvent<HTMLElement>): void {
  if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
  const row = (event.target as Element).closest('tr');
  const next = event.key === 'ArrowDown' ? row?.nextElementSibling : row?.previousElementSibling;
  const target = next?.querySelector<HTMLElement>('a, button');
  if (!target) return;
  event.preventDefault();
  target.focus();
  target.scrollIntoView({ block: 'nearest' });
}

function HeaderCell<Row>({
  column,
  sorting,
  children,
}: {
  column: Column<Row> | undefined;
  sorting: Sorting | undefined;
  children: ReactNode;
}) {
  const style = column?.width ? { width: column.width } : undefined;
  const by = column?.sortBy;
  if (!by || !sorting)
    return (
      <th scope="col" className={classOf(column)} style={style}>
        {children}
      </th>
    );
  const active = sorting.by === by;
  const order = active ? sorting.order : undefined;
  return (
    <th
      scope="col"
      className={classOf(column)}
      style={style}
      aria-sort={order === 'asc' ? 'ascending' : order === 'desc' ? 'descending' : 'none'}
    >
      <button
        type="button"
        className="sort"
        onClick={() => sorting.onSort(by, order === 'asc' ? 'desc' : 'asc')}
      >
        {children}
        {active && <Icon name={order === 'asc' ? 'up' : 'down'} size={12} />}
      </button>
    </th>
  );
}

function Foot<Row>({ list }: { list: ListState<Row> }) {
  const ref = useRef<HTMLDivElement>(null);
  const { more, loadMore } = list;
  const latest = useRef(loadMore);
  useEffect(() => {
    latest.current = loadMore;
  });
  useEffect(() => {
    const foot = ref.current;
    if (!foot || !more) return;
    const observer = new IntersectionObserver(
      (entries) => {
        if (entries.some((entry) => entry.isIntersecting)) latest.current();
      },
      { rootMargin: '900px' },
    );
    observer.observe(foot);
    return () => observer.disconnect();
    // The rows that just came may not have filled the screen: look again.
  }, [more, list.rows.length]);
  const shown = list.rows.length;
  const total = list.total !== null && !more ? Math.max(list.total, shown) : list.total;
  return (
    <div className="table-foot" ref={ref}>
      <span className="num">
        {total !== null && total > shown
          ? text.common.shownOf(formatNumber(shown), formatNumber(total))
          : text.common.shown(shown)}
      </span>
      {list.loadingMore && <span>{text.common.loading}</span>}
      {more && !list.loadingMore && (
        <button type="button" className="link" onClick={loadMore}>
          {text.common.loadMore}
        </button>
      )}
      {list.outdated && (
        <button type="button" className="link" onClick={list.reload}>
          {text.common.outdated}
        </button>
      )}
      {list.error !== null && <ErrorBox error={list.error} onRetry={list.reload} />}
    </div>
  );
}
