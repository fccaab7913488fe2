// Who this client says it is. A test holds the number against package.json.

export const VERSION = '0.1.0';
export const USER_AGENT = `ekho-sdk-node/${VERSION}`;
