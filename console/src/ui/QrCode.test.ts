// @vitest-environment node
import decodeQR from 'qr/decode.js';
import encodeQR from 'qr';
import { expect, it } from 'vitest';
import { darkRuns } from './QrCode';

it('draws every dark module, and no other', () => {
  const secret = 'otpauth://totp/Ekho:owner%40localhost?secret=JBSWY3DPEHPK3PXP&issuer=Ekho';
  const rows = encodeQR(secret, 'raw', { ecc: 'medium', border: 4 });
  const scale = 4;
  const side = rows.length * scale;
  const data = new Uint8Array(side * side * 4).fill(255);
  for (const [, x, y, width] of darkRuns(rows).matchAll(/M(\d+) (\d+)h(\d+)/g)) {
    for (let down = 0; down < scale; down += 1) {
      const row = (Number(y) * scale + down) * side;
      for (let across = 0; across < Number(width) * scale; across += 1)
        data.fill(0, (row + Number(x) * scale + across) * 4, (row + Number(x) * scale + across) * 4 + 3);
    }
  }
  expect(decodeQR({ width: side, height: side, data })).toBe(secret);
});
