// Lists of any length: pages by cursor, gathered as the reader comes to them.
import { type InfiniteData, type QueryKey, useInfiniteQuery } from '@tanstack/react-query';
import { useMemo } from 'react';

export interface Paged {
  next_cursor?: string | null;
}

export interface ListState<Row> {
  rows: Row[];
  total: number | null;
  loading: boolean;
  error: unknown;
  more: boolean;
  loadingMore: boolean;
  loadMore: () => void;
  reload: () => void;
  /** The newest rows are out of date, and too many pages are loaded to read them all again. */
  outdated: boolean;
}

/** An answer with a filter may hold few rows or none and still have a next page: go on until this many. */
const ROWS_WANTED = 30;
/** An answer looks at a bounded number of rows; this bounds how often we ask again for one screen. */
const ASKS_MAX = 12;
/** Lists longer than this many pages are not read again on every change. */
export const PAGES_REREAD_MAX = 2;

/** Whether reading it again would take more requests than a change is worth. */
export function isLong(data: unknown): boolean {
  const pages = (data as { pages?: unknown } | undefined)?.pages;
  return Array.isArray(pages) && pages.length > PAGES_REREAD_MAX;
}

interface Options<Page extends Paged, Row> {
  key: QueryKey;
  fetchPage: (cursor: string | undefined, signal: AbortSignal) => Promise<Page>;
  rowsOf: (page: Page) => Row[];
  totalOf?: (page: Page) => number;
  /** Where the relay may name a row on one page and again on another: what makes it the same. */
  sameBy?: (row: Row) => string;
  enabled?: boolean;
  staleTime?: number;
}

/** The rows without those that stand further up already. */
export function firstOfEach<Row>(rows: Row[], sameBy: (row: Row) => string): Row[] {
  const known = new Set<string>();
  return rows.filter((row) => {
    const key = sameBy(row);
    if (known.has(key)) return false;
    known.add(key);
    return true;
  });
}

interface Gathered<Page, Row> {
  rows: Row[];
  last: Page;
}

export function useList<Page extends Paged, Row>(options: Options<Page, Row>): ListState<Row> {
  const { fetchPage, rowsOf } = options;
  const query = useInfiniteQuery({
    queryKey: options.key,
    enabled: options.enabled ?? true,
    // Long lists are not read again by themselves: they say that they are out of date.
    staleTime: (known: { state: { data: unknown } }) =>
      isLong(known.state.data) ? Infinity : (options.staleTime ?? 5_000),
    refetchOnWindowFocus: (known: { state: { data: unknown } }) => !isLong(known.state.data),
    refetchOnMount: (known: { state: { data: unknown } }) => !isLong(known.state.data),
    initialPageParam: undefined as string | undefined,
    queryFn: async ({ pageParam, signal }): Promise<Gathered<Page, Row>> => {
      let last = await fetchPage(pageParam, signal);
      const rows = [...rowsOf(last)];
      for (let asks = 1; last.next_cursor && rows.length < ROWS_WANTED && asks < ASKS_MAX; asks += 1) {
        last = await fetchPage(last.next_cursor, signal);
        rows.push(...rowsOf(last));
      }
      return { rows, last };
    },
    getNextPageParam: (page) => page.last.next_cursor ?? undefined,
  });
  const data: InfiniteData<Gathered<Page, Row>> | undefined = query.data;
  const { sameBy } = options;
  const rows = useMemo(() => {
    const all = data?.pages.flatMap((page) => page.rows) ?? [];
    return sameBy ? firstOfEach(all, sameBy) : all;
  }, [data, sameBy]);
  const newest = data?.pages[0]?.last;
  return {
    rows,
    total: newest && options.totalOf ? options.totalOf(newest) : null,
    loading: query.isPending,
    error: query.error,
    more: query.hasNextPage,
    loadingMore: query.isFetchingNextPage,
    loadMore: () => {
      if (query.hasNextPage && !query.isFetchingNextPage) void query.fetchNextPage();
    },
    reload: () => void query.refetch(),
    outdated: isLong(data) && query.isStale,
  };
}
