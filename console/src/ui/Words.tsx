// A text in which commands stand between backticks.
export function Words({ of }: { of: string }) {
  return of.split('`').map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part));
}
