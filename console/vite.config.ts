// How the console is built and served in development. In production the relay serves dist/ at /ui/.
import react from '@vitejs/plugin-react';
import { defineConfig } from 'vitest/config';

const relay = process.env['EKHO_URL'] ?? 'http://127.0.0.1:5100';
/** What the relay answers itself, next to the console. */
const proxied = [
  '/v1',
  '/a2a',
  '/agents',
  '/metrics',
  '/healthz',
  '/readyz',
  '/.well-known',
  '/openapi.json',
  '/docs',
];

export default defineConfig({
  base: '/ui/',
  plugins: [react()],
  build: {
    target: ['chrome123', 'firefox128', 'safari18'],
    // Inlined assets would need `data:` in font-src.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: {
    port: 5190,
    strictPort: true,
    proxy: Object.fromEntries(proxied.map((path) => [path, { target: relay, changeOrigin: false }])),
  },
  test: { environment: 'jsdom', include: ['src/**/*.test.{ts,tsx}'] },
});
