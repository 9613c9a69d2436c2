// A ZIP writer that can lie: every header field can be set to a wrong value.

import { crc32 } from "node:zlib";

type RawHeader = {
  readonly signature: number;
  readonly name: string | Uint8Array;
  readonly flags: number;
  readonly method: number;
  /** The ZIP version that is needed to read the member. */
  readonly version: number;
  readonly crc: number;
  readonly size: number;
  readonly compressedSize: number;
  readonly extra: Uint8Array;
};

type RawCentralHeader = RawHeader & {
  readonly comment: string;
  readonly attributes: number;
  /** Its upper byte names the system of the attributes: 0 for DOS, 3 for Unix. */
  readonly madeBy: number;
  readonly disk: number;
  readonly offset: number;
};

export type RawEntry = {
  readonly name: string;
  readonly data: Uint8Array;
  /** The values of both headers, then overrides for one of them. */
  readonly both?: Partial<RawHeader>;
  readonly local?: Partial<RawHeader>;
  readonly central?: Partial<RawCentralHeader>;
  /** Bytes in front of the entry's own header, and behind its data. */
  readonly before?: Uint8Array;
  readonly after?: Uint8Array;
  readonly isUnlisted?: boolean;
};

type RawEnd = {
  readonly disk: number;
  readonly directoryDisk: number;
  readonly countHere: number;
  readonly count: number;
  readonly size: number;
  readonly offset: number;
  readonly comment: string;
};

export type RawZipOptions = {
  readonly end?: Partial<RawEnd>;
  /** Bytes between the members and the directory, and behind the end record. */
  readonly beforeDirectory?: Uint8Array;
  readonly afterEnd?: Uint8Array;
  /** Adds zip64 end records, which can lie too. */
  readonly zip64?: Partial<Pick<RawEnd, "count" | "size" | "offset"> & { locator: number }>;
};

export function rawZip(entries: readonly RawEntry[], options: RawZipOptions = {}): Uint8Array {
  const body: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  for (const entry of entries) {
    body.push(entry.before ?? new Uint8Array(0));
    const header = { ...honestHeader(entry), ...entry.both };
    const offset = sizeOf(body);
    body.push(localHeader({ ...header, ...entry.local }), entry.data, entry.after ?? new Uint8Array(0));
    const honest = {
      ...header,
      signature: 0x02014b50,
      extra: new Uint8Array(0),
      comment: "",
      attributes: 0,
      madeBy: (3 << 8) | 20,
      disk: 0,
    };
    if (!entry.isUnlisted) directory.push(centralHeader({ ...honest, offset, ...entry.central }));
  }
  body.push(options.beforeDirectory ?? new Uint8Array(0));
  const place = { count: directory.length, size: sizeOf(directory), offset: sizeOf(body) };
  const zip64 = options.zip64 ? [zip64End({ ...place, ...options.zip64 }, place.offset + place.size)] : [];
  const end = { disk: 0, directoryDisk: 0, countHere: directory.length, ...place, comment: "", ...options.end };
  return Buffer.concat([...body, ...directory, ...zip64, endRecord(end), options.afterEnd ?? new Uint8Array(0)]);
}

/** An extra field of a header. */
export function extraField(id: number, content: Uint8Array): Uint8Array {
  return Buffer.concat([fields([2, id], [2, content.length]), content]);
}

/** Little-endian numbers, each with its width in bytes. */
export function fields(...values: readonly (readonly [width: number, value: number])[]): Uint8Array {
  return Buffer.concat(
    values.map(([width, value]) => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigUInt64LE(BigInt(value));
      return bytes.subarray(0, width);
    }),
  );
}

function sizeOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

function honestHeader({ name, data }: RawEntry): RawHeader {
  const [size, compressedSize] = [data.length, data.length];
  return {
    signature: 0x04034b50,
    name,
    flags: 0,
    method: 0,
    version: 20,
    crc: crc32(data),
    size,
    compressedSize,
    extra: new Uint8Array(0),
  };
}

function localHeader(header: RawHeader): Uint8Array {
  const name = Buffer.from(header.name);
  const numbers = fields(
    [4, header.signature],
    [2, header.version],
    [2, header.flags],
    [2, header.method],
    [4, 0x50210000],
    [4, header.crc],
    [4, header.compressedSize],
    [4, header.size],
    [2, name.length],
    [2, header.extra.length],
  );
  return Buffer.concat([numbers, name, header.extra]);
}

function centralHeader(header: RawCentralHeader): Uint8Array {
  const name = Buffer.from(header.name);
  const comment = Buffer.from(header.comment);
  const numbers = fields(
    [4, header.signature],
    [2, header.madeBy],
    [2, header.version],
    [2, header.flags],
    [2, header.method],
    [4, 0x50210000],
    [4, header.crc],
    [4, header.compressedSize],
    [4, header.size],
    [2, name.length],
    [2, header.extra.length],
    [2, comment.length],
    [2, header.disk],
    [2, 0],
    [4, header.attributes],
    [4, header.offset],
  );
  return Buffer.concat([numbers, name, header.extra, comment]);
}

function zip64End(
  end: { count: number; size: number; offset: number; locator?: number },
  position: number,
): Uint8Array {
  return fields(
    [4, 0x06064b50],
    [8, 44],
    [2, 45],
    [2, 45],
    [4, 0],
    [4, 0],
    [8, end.count],
    [8, end.count],
    [8, end.size],
    [8, end.offset],
    [4, 0x07064b50],
    [4, 0],
    [8, end.locator ?? position],
    [4, 1],
  );
}

function endRecord(end: RawEnd): Uint8Array {
  const comment = Buffer.from(end.comment);
  const numbers = fields(
    [4, 0x06054b50],
    [2, end.disk],
    [2, end.directoryDisk],
    [2, end.countHere],
    [2, end.count],
    [4, end.size],
    [4, end.offset],
    [2, comment.length],
  );
  return Buffer.concat([numbers, comment]);
}
