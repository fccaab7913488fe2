// A page that failed, and a page that is not there. The frame around them stays.
import { Link } from '@tanstack/react-router';
import { ApiError } from '../api/error';
import { text } from '../text';
import { PageHead } from '../ui/Page';
import { ErrorBox } from '../ui/State';

/** Where there is no frame either, because nothing is known of who is asking. */
export function BrokenFrame({ error }: { error: unknown }) {
  return (
    <main className="page" id="page">
      <Broken error={error} />
    </main>
  );
}

export function Broken({ error }: { error: unknown }) {
  const ofRelay = error instanceof ApiError;
  return (
    <>
      <PageHead
        title={ofRelay ? text.errors.notLoaded : text.errors.pageBroke}
        about={ofRelay ? undefined : text.errors.pageBrokeAbout}
      />
      <div className="stack">
        <ErrorBox error={error} />
        <div>
          <button type="button" className="button" onClick={() => window.location.reload()}>
            {text.errors.reload}
          </button>
        </div>
      </div>
    </>
  );
}

export function NotFound() {
  return (
    <div>
      <PageHead title={text.errors.notFound} about={text.errors.notFoundAbout} />
      <Link to="/" className="button">
        {text.errors.toOverview}
      </Link>
    </div>
  );
}
