// Whether this browser shall show notifications of approvals: a choice, kept in the browser.
const KEY = 'ekho-notify-approvals';

export const canNotify = (): boolean => typeof Notification !== 'undefined';

export function notifies(): boolean {
  try {
    return canNotify() && Notification.permission === 'granted' && localStorage.getItem(KEY) === 'yes';
  } catch {
    return false;
  }
}

export function setNotifies(on: boolean): void {
  localStorage.setItem(KEY, on ? 'yes' : 'no');
}
