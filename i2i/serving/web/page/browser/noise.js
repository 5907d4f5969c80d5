// Numbers of N(0, 1) by seed: those of numpy.random.RandomState(seed).standard_normal, so that a style has one number everywhere.
// MT19937 (Matsumoto and Nishimura 1998), doubles of 53 bits, and Marsaglia's polar method.

const SIZE = 624, SHIFT = 397;

function* words(seed) {
  const state = new Uint32Array(SIZE);
  state[0] = seed;
  for (let at = 1; at < SIZE; at++) state[at] = Math.imul(1812433253, state[at - 1] ^ (state[at - 1] >>> 30)) + at;
  for (;;) {
    for (let at = 0; at < SIZE; at++) {
      const both = (state[at] & 0x80000000) | (state[(at + 1) % SIZE] & 0x7fffffff);
      state[at] = state[(at + SHIFT) % SIZE] ^ (both >>> 1) ^ (both & 1 ? 0x9908b0df : 0);
    }
    for (let word of state) {
      word ^= word >>> 11;
      word ^= (word << 7) & 0x9d2c5680;
      word ^= (word << 15) & 0xefc60000;
      yield (word ^ (word >>> 18)) >>> 0;
    }
  }
}

/** Return `count` numbers. */
export function normal(seed, count) {
  const source = words(seed), next = () => source.next().value, found = [];
  const uniform = () => ((next() >>> 5) * 67108864 + (next() >>> 6)) / 9007199254740992;
  while (found.length < count) {
    let x, y, square;
    do {
      x = 2 * uniform() - 1;
      y = 2 * uniform() - 1;
      square = x * x + y * y;
    } while (square >= 1 || square === 0);
    const factor = Math.sqrt(-2 * Math.log(square) / square);
    found.push(factor * y, factor * x);
  }
  return found.slice(0, count);
}
