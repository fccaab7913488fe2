// Short words that something was done, or could not be. Errors stay until they are closed.
import { createContext, type ReactNode, useCallback, useContext, useMemo, useRef, useState } from 'react';
import { asApiError } from '../api/error';
import { text } from '../text';
import { Icon } from './Icon';

interface Toast {
  id: number;
  bad: boolean;
  says: string;
}

const SHOWN_MS = 4_500;
const SHOWN_MAX = 4;
const ToastContext = createContext<(says: string, bad?: boolean) => void>(() => undefined);

export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const next = useRef(1);
  const close = useCallback((id: number) => setToasts((now) => now.filter((toast) => toast.id !== id)), []);
  const show = useCallback(
    (says: string, bad = false) => {
      const id = next.current++;
      setToasts((now) => [...now.slice(1 - SHOWN_MAX), { id, bad, says }]);
      if (!bad) setTimeout(() => close(id), SHOWN_MS);
    },
    [close],
  );
  const context = useMemo(() => show, [show]);
  return (
    <ToastContext value={context}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {toasts.map((toast) => (
          <div key={toast.id} className={toast.bad ? 'toast bad' : 'toast'}>
            <span className="grow">{toast.says}</span>
            <button
              type="button"
              className="button quiet small icon"
              aria-label={text.common.close}
              onClick={() => close(toast.id)}
            >
              <Icon name="close" size={14} />
            </button>
          </div>
        ))}
      </div>
    </ToastContext>
  );
}

export const useToast = () => useContext(ToastContext);

/** For what fails outside of a dialog. */
export function useErrorToast(): (thrown: unknown) => void {
  const toast = useToast();
  return useCallback(
    (thrown: unknown) => {
      const error = asApiError(thrown);
      const known = text.errors.byCode[error.code] ?? error.message;
      toast(`${known} (${error.code}${error.requestId ? `, ${error.requestId}` : ''})`, true);
    },
    [toast],
  );
}
