// JSON Web Tokens as an application's backend would sign them.

import { createHmac } from 'node:crypto';

/** An HS256 token of these claims. */
export function sign(secret, claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const signed = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** So many seconds from now, as JWTs count them. */
export function secondsFromNow(seconds) {
  return Math.floor(Date.now() / 1000) + seconds;
}
