// Random numbers by counter: Philox4x32-10 (J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011), a function of a key and a counter without any state, so that every number can
// be made anywhere. Integers that no tensor holds: making them is not tallied, using one is one special (ops.uniform).
#pragma once

#include <cstdint>

#include "common/host_device.h"
#include "common/x86.h"

namespace eb {

// Numbers of a block: 16 counters give 4 words each. Number 16·w + k is word w of counter 16·block + k, so that
// neighbours come from neighbouring counters and a vector holds one word of each.
constexpr Index kRandomBlock = 64;
struct RandomBlock {
  alignas(64) std::uint32_t word[kRandomBlock];
};

namespace philox {

constexpr int kRounds = 10;
constexpr std::uint32_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;

EB_HD EB_FORCED void one(std::uint64_t seed, std::uint64_t counter, std::uint32_t (&word)[4]) {
  std::uint32_t key0 = static_cast<std::uint32_t>(seed), key1 = static_cast<std::uint32_t>(seed >> 32);
  word[0] = static_cast<std::uint32_t>(counter);
  word[1] = static_cast<std::uint32_t>(counter >> 32);
  word[2] = word[3] = 0;
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t a = std::uint64_t{kMultiplier0} * word[0], b = std::uint64_t{kMultiplier1} * word[2];
    word[0] = static_cast<std::uint32_t>(b >> 32) ^ word[1] ^ key0;
    word[1] = static_cast<std::uint32_t>(b);
    word[2] = static_cast<std::uint32_t>(a >> 32) ^ word[3] ^ key1;
    word[3] = static_cast<std::uint32_t>(a);
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
}

#if defined(__AVX2__) && defined(__FMA__) && !defined(__CUDACC__)
// Four counters in the lower halves of 64-bit lanes.
EB_FORCED void four(std::uint64_t seed, std::uint64_t counter, RandomBlock& numbers, Index k) {
  using x86::Word4;
  constexpr std::uint64_t m0 = kMultiplier0, m1 = kMultiplier1;
  constexpr Word4 multiplier0 = {m0, m0, m0, m0}, multiplier1 = {m1, m1, m1, m1};
  const Word4 counters = Word4{0, 1, 2, 3} + counter;
  Word4 word[4] = {counters & 0xFFFFFFFF, counters >> 32, Word4{}, Word4{}};
  std::uint32_t key0 = static_cast<std::uint32_t>(seed), key1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < kRounds; ++round) {
    const Word4 a = x86::multiply_low(multiplier0, word[0]), b = x86::multiply_low(multiplier1, word[2]);
    word[0] = (b >> 32) ^ word[1] ^ key0;
    word[1] = b & 0xFFFFFFFF;
    word[2] = (a >> 32) ^ word[3] ^ key1;
    word[3] = a & 0xFFFFFFFF;
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  for (int w = 0; w < 4; ++w) {
    const x86::Int8 packed = __builtin_shuffle((x86::Int8)word[w], x86::Int8{0, 2, 4, 6, 0, 0, 0, 0});
    __builtin_memcpy(&numbers.word[16 * w + k], &packed, 4 * sizeof(std::uint32_t));
  }
}
#endif

}  // namespace philox

// The numbers of a block, for vectors of kBytes.
template <int kBytes>
EB_HD EB_FORCED void fill(RandomBlock& numbers, std::uint64_t seed, std::uint64_t block) {
#if defined(__AVX2__) && defined(__FMA__) && !defined(__CUDACC__)
  if constexpr (kBytes >= 32) {
    for (Index k = 0; k < 16; k += 4) philox::four(seed, 16 * block + static_cast<std::uint64_t>(k), numbers, k);
    return;
  }
#endif
  for (Index k = 0; k < 16; ++k) {
    std::uint32_t word[4];
    philox::one(seed, 16 * block + static_cast<std::uint64_t>(k), word);
    for (int w = 0; w < 4; ++w) numbers.word[16 * w + k] = word[w];
  }
}

}  // namespace eb
