// Where the console begins.
import { QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { makeQueryClient } from './api/query';
import { applyTheme } from './layout/theme';
import { makeRouter } from './router';
import { meQuery } from './session/session';
import './style/index.css';
import { ToastProvider } from './ui/Toast';

applyTheme();

const client = makeQueryClient(() => {
  const at = router.state.location;
  // Whoever was not signed in before is asked by the router, without a word about a session.
  if (at.pathname === '/sign-in' || client.getQueryData(meQuery.queryKey) === undefined) return;
  client.clear();
  void router.navigate({ to: '/sign-in', search: { to: at.href, again: true } });
});
const router = makeRouter(client);

const rootElement = document.getElementById('root');
if (!rootElement) throw new Error('index.html has no #root');
createRoot(rootElement).render(
  <StrictMode>
    <QueryClientProvider client={client}>
      <ToastProvider>
        <RouterProvider router={router} />
      </ToastProvider>
    </QueryClientProvider>
  </StrictMode>,
);
