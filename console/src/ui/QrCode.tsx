// A QR code, drawn in the page itself: what it says, such as a secret, leaves the browser for nowhere.
import encodeQR from 'qr';
import { useMemo } from 'react';

/** Light modules around the code, without which readers do not find it (ISO/IEC 18004, 6.3.8). */
const QUIET_ZONE = 4;

export function QrCode({ value, label }: { value: string; label: string }) {
  const { size, path } = useMemo(() => {
    const rows = encodeQR(value, 'raw', { ecc: 'medium', border: QUIET_ZONE });
    return { size: rows.length, path: darkRuns(rows) };
  }, [value]);
  return (
    <svg
      className="qr"
      role="img"
      aria-label={label}
      viewBox={`0 0 ${size} ${size}`}
      shapeRendering="crispEdges"
    >
      <path d={path} />
    </svg>
  );
}

/** Dark modules that follow one another in a row are one bar. */
export function darkRuns(rows: boolean[][]): string {
  const bars: string[] = [];
  rows.forEach((row, y) => {
    let from = -1;
    for (let x = 0; x <= row.length; x += 1) {
      if (row[x] && from < 0) from = x;
      if (!row[x] && from >= 0) {
        bars.push(`M${from} ${y}h${x - from}v1h${from - x}z`);
        from = -1;
      }
    }
  });
  return bars.join('');
}
