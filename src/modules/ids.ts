// Random values: IDs of requests and revisions, access tokens, passwords.

import { randomBytes, randomUUID } from "node:crypto";
import { crc32 } from "node:zlib";

const TOKEN_PREFIX = "cdr-";
const TOKEN_RANDOM = 32;
const TOKEN_CHECK = 6;
// Letters and digits only: conda's token pattern stops at any other character, so conda would leak the rest.
const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** The form of a token, for people and for secret scanners; its last 6 characters are a checksum of the others. */
export const TOKEN_PATTERN = `${TOKEN_PREFIX}[0-9A-Za-z]{${TOKEN_RANDOM + TOKEN_CHECK}}`;
const TOKEN = new RegExp(`^${TOKEN_PATTERN}$`);
/** Length of every token. */
export const TOKEN_LENGTH = TOKEN_PREFIX.length + TOKEN_RANDOM + TOKEN_CHECK;

export function randomHex(bytes: number): string {
  return randomBytes(bytes).toString("hex");
}

export function createRequestId(): string {
  return randomUUID();
}

/** `cdr-`, 190 random bits, and a checksum by which secret scanners recognize a token. */
export function createToken(): string {
  const text = TOKEN_PREFIX + randomText(TOKEN_RANDOM);
  return text + checksum(text);
}

/** Whether `text` has the form and checksum of a token; a single mistyped letter never passes. */
export function looksLikeToken(text: string): boolean {
  return TOKEN.test(text) && checksum(text.slice(0, -TOKEN_CHECK)) === text.slice(-TOKEN_CHECK);
}

/** The tokens in a text with their positions: everything that has the form and the checksum of one. */
export function tokensIn(text: string): { readonly token: string; readonly at: number }[] {
  const matches = [...text.matchAll(new RegExp(TOKEN_PATTERN, "g"))];
  return matches.map(({ 0: token, index: at }) => ({ token, at })).filter(({ token }) => looksLikeToken(token));
}

function randomText(length: number): string {
  // Bytes from this value on would make the alphabet's first letters more likely than its last.
  const limit = 256 - (256 % ALPHABET.length);
  let text = "";
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < limit && text.length < length) text += ALPHABET.charAt(byte % ALPHABET.length);
    }
  }
  return text;
}

function checksum(text: string): string {
  let digits = "";
  for (let rest = crc32(text); digits.length < TOKEN_CHECK; rest = Math.floor(rest / ALPHABET.length)) {
    digits = ALPHABET.charAt(rest % ALPHABET.length) + digits;
  }
  return digits;
}

/** A password for people to type once: 24 letters and digits, 142 bits. */
export function createPassword(): string {
  return randomText(24);
}
