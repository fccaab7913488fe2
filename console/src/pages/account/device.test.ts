import { expect, it } from 'vitest';
import { device } from './device';

it.each([
  [
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36',
    'Chrome (Linux)',
  ],
  [
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15',
    'Safari (macOS)',
  ],
  [
    'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/130.0.0.0 Safari/537.36 Edg/130.0.0.0',
    'Edge (Windows)',
  ],
  ['ekho/0.1.0', 'ekho, the command'],
  ['curl/7.88.1', 'curl'],
  ['my-script', 'my-script'],
  ['', '–'],
])('%s is %s', (agent, shown) => expect(device(agent)).toBe(shown));
