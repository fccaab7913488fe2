// Dialogs on the browser's own <dialog>: it keeps the focus inside, gives it back, and closes on Escape.
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useEffect, useId, useRef, useState } from 'react';
import { text } from '../text';
import { TextArea, TextField } from './Field';
import { Icon } from './Icon';
import { ErrorBox } from './State';
import { useToast } from './Toast';

interface DialogProps {
  title: string;
  onClose: () => void;
  wide?: boolean;
  children: ReactNode;
}

export function Dialog({ title, onClose, wide, children }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current;
    if (dialog && !dialog.open) {
      dialog.showModal();
      // The browser focuses what comes first, which is the button that closes.
      dialog.querySelector<HTMLElement>('[data-focus]')?.focus();
    }
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={ref}
      className={wide ? 'dialog wide' : 'dialog'}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) =>
        event.target === ref.current &&
        event.detail > 0 &&
        isOutside(event.nativeEvent, ref.current) &&
        onClose()
      }
    >
      <div className="dialog-head">
        <h2 id={id}>{title}</h2>
        <button type="button" className="button quiet icon" aria-label={text.common.close} onClick={onClose}>
          <Icon name="close" />
        </button>
      </div>
      {children}
    </dialog>
  );
}

function isOutside(event: MouseEvent, dialog: HTMLElement): boolean {
  const box = dialog.getBoundingClientRect();
  return (
    event.clientX < box.left ||
    event.clientX > box.right ||
    event.clientY < box.top ||
    event.clientY > box.bottom
  );
}

interface FormDialogProps {
  title: string;
  submit: string;
  danger?: boolean;
  wide?: boolean;
  disabled?: boolean;
  /** Said once it is done. */
  done?: string;
  onSubmit: () => Promise<unknown>;
  onClose: () => void;
  children: ReactNode;
}

/** A dialog that does one thing, and shows why where it could not. */
export function FormDialog(props: FormDialogProps) {
  const toast = useToast();
  const doing = useMutation({
    mutationFn: props.onSubmit,
    onSuccess: () => {
      if (props.done) toast(props.done);
      props.onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!doing.isPending && !props.disabled) doing.mutate();
  };
  return (
    <Dialog title={props.title} onClose={props.onClose} wide={props.wide ?? false}>
      <form onSubmit={submit}>
        <div className="dialog-body">
          {props.children}
          {doing.error && <ErrorBox error={doing.error} />}
        </div>
        <div className="dialog-foot">
          <button type="button" className="button" onClick={props.onClose}>
            {text.common.cancel}
          </button>
          <button
            type="submit"
            className={props.danger ? 'button danger solid' : 'button primary'}
            disabled={doing.isPending || (props.disabled ?? false)}
          >
            {doing.isPending ? text.common.working : props.submit}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

interface ReasonProps {
  title: string;
  about: ReactNode;
  submit: string;
  danger?: boolean;
  done?: string;
  optional?: boolean;
  /** Has to be typed before it can be done, for what cannot be undone. */
  typed?: string | undefined;
  onSubmit: (reason: string) => Promise<unknown>;
  onClose: () => void;
  children?: ReactNode;
}

export function ReasonDialog({ optional, typed, about, children, onSubmit, ...rest }: ReasonProps) {
  const [reason, setReason] = useState('');
  const [repeated, setRepeated] = useState('');
  const ready = (optional || reason.trim() !== '') && (typed === undefined || repeated === typed);
  return (
    <FormDialog {...rest} disabled={!ready} onSubmit={() => onSubmit(reason.trim())}>
      <p className="muted">{about}</p>
      {children}
      <TextArea
        label={optional ? text.common.reasonOptional : text.common.reason}
        value={reason}
        maxLength={1_000}
        rows={2}
        autoFocus
        hint={text.common.reasonHint}
        onChange={(event) => setReason(event.target.value)}
      />
      {typed !== undefined && (
        <TextField
          label={text.common.typeToConfirm(typed)}
          value={repeated}
          autoComplete="off"
          wide
          onChange={(event) => setRepeated(event.target.value)}
        />
      )}
    </FormDialog>
  );
}

/** Asks whether to go ahead, where no reason is kept. */
export function ConfirmDialog({ about, ...rest }: Omit<FormDialogProps, 'children'> & { about: ReactNode }) {
  return (
    <FormDialog {...rest}>
      <p className="muted">{about}</p>
    </FormDialog>
  );
}
