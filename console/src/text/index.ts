// Everything that people read, in one typed place. Another language is another folder with the
// same shape; `text` is what the console reads it from.
import * as en from './en';

export const text = en;
export type Text = typeof en;
