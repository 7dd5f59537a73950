// Runs a WASI program: node scripts/run_wasi.mjs PROGRAM.wasm ARGUMENT...
import { readFile } from 'node:fs/promises';
import { WASI } from 'node:wasi';

// Errno of what is not supported. A standard library of Rust that is newer than the C library below
// it asks for threads there, where WebAssembly has none; to be told so is all that it needs.
const NOT_SUPPORTED = 58;
const THREADS = [
    'pthread_attr_init',
    'pthread_attr_destroy',
    'pthread_attr_setstacksize',
    'pthread_create',
    'pthread_detach',
    'pthread_join',
];
const env = Object.fromEntries(THREADS.map((name) => [name, () => NOT_SUPPORTED]));

const [, , program, ...rest] = process.argv;
const wasi = new WASI({ version: 'preview1', args: [program, ...rest], returnOnExit: true });
const module = await WebAssembly.compile(await readFile(program));
const instance = await WebAssembly.instantiate(module, { ...wasi.getImportObject(), env });
process.exit(wasi.start(instance));
