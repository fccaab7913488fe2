// What `tailscale serve` is to a relay: a proxy on the same machine that says who is asking. It takes
// away what a client says of that itself.
import { createServer, request, type Server } from 'node:http';

export class TailnetProxy {
  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  /** Passes everything on to `port`, as asked for by `login` at `address`. */
  static async start(port: number, login: string, address: string): Promise<TailnetProxy> {
    const server = createServer((asked, answer) => {
      const headers = { ...asked.headers };
      for (const name of Object.keys(headers)) if (name.startsWith('tailscale-')) delete headers[name];
      headers['tailscale-user-login'] = login;
      headers['x-forwarded-for'] = address;
      const onward = request(
        { host: '127.0.0.1', port, method: asked.method, path: asked.url, headers },
        (got) => {
          answer.writeHead(got.statusCode ?? 502, got.headers);
          got.pipe(answer);
        },
      );
      onward.on('error', () => answer.destroy());
      // A stream ends with the browser that wanted it.
      answer.on('close', () => onward.destroy());
      asked.pipe(onward);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
    const bound = server.address();
    if (!bound || typeof bound !== 'object') throw new Error('the proxy has no port');
    return new TailnetProxy(server, `http://127.0.0.1:${bound.port}`);
  }

  stop(): Promise<void> {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(() => resolve()));
  }
}
