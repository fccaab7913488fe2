// The one way to the relay: openapi-fetch over types made from docs/openapi.json. The session is
// an HttpOnly cookie, so there is no token here; the header shows that no other site is asking.
import createClient, { type Middleware } from 'openapi-fetch';
import { ApiError, asApiError, errorOf } from './error';
import type { paths } from './schema';

/** Longer than any answer takes that is going to come; membership changes wait 20 s by design. */
const ANSWER_TIMEOUT_MS = 25_000;

export const CSRF_HEADER = 'x-ekho-csrf';

const ours: Middleware = {
  onRequest({ request }) {
    request.headers.set(CSRF_HEADER, 'console');
    return request;
  },
};

export const api = createClient<paths>({
  baseUrl: '',
  credentials: 'same-origin',
  fetch: (request: Request) => {
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]);
    return fetch(new Request(request, { signal }));
  },
});
api.use(ours);

interface Answer<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/** The data of a 2xx answer; throws an ApiError for everything else. */
export async function need<Data>(answer: Promise<Answer<Data>>): Promise<Data> {
  let got: Answer<Data>;
  try {
    got = await answer;
  } catch (thrown) {
    // A query that nobody wants any more is not a failure.
    if (thrown instanceof DOMException && thrown.name === 'AbortError') throw thrown;
    throw asApiError(thrown);
  }
  if (!got.response.ok || got.data === undefined) throw errorOf(got.error, got.response);
  return got.data;
}

/** For answers that are JSON or, where asked for, a table as text: we asked for JSON. */
export async function needJson<Data>(answer: Promise<Answer<Data | string>>): Promise<Exclude<Data, string>> {
  const data = await need(answer);
  if (typeof data === 'string') throw new ApiError('unexpected_answer', 'text in place of JSON', 200, null);
  return data as Exclude<Data, string>;
}
