// Random numbers by counter: Philox4x32-10 (J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011), a function of a key and a counter without any state, so that every number can
// be made anywhere. Integers that no tensor holds: making them is not tallied, using one is one special (ops.uniform).
#pragma once

#include <cstdint>

#include "common/host_device.h"

#if defined(__x86_64__) && !defined(__CUDACC__)
#include <immintrin.h>
#endif

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

EB_HD EB_INLINE void one(std::uint64_t seed, std::uint64_t counter, std::uint32_t (&word)[4]) {
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

#if defined(__AVX2__) && !defined(__CUDACC__)
// Four counters in the lower halves of 64-bit lanes.
EB_INLINE void four(std::uint64_t seed, std::uint64_t counter, RandomBlock& numbers, Index k) {
  const __m256i multiplier0 = _mm256_set1_epi64x(kMultiplier0), multiplier1 = _mm256_set1_epi64x(kMultiplier1);
  const __m256i low = _mm256_set1_epi64x(0xFFFFFFFF);
  const __m256i counters =
      _mm256_add_epi64(_mm256_set1_epi64x(static_cast<long long>(counter)), _mm256_set_epi64x(3, 2, 1, 0));
  __m256i word[4] = {_mm256_and_si256(counters, low), _mm256_srli_epi64(counters, 32), _mm256_setzero_si256(),
                     _mm256_setzero_si256()};
  std::uint32_t key0 = static_cast<std::uint32_t>(seed), key1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < kRounds; ++round) {
    const __m256i a = _mm256_mul_epu32(multiplier0, word[0]), b = _mm256_mul_epu32(multiplier1, word[2]);
    word[0] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(b, 32), word[1]), _mm256_set1_epi64x(key0));
    word[1] = _mm256_and_si256(b, low);
    word[2] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(a, 32), word[3]), _mm256_set1_epi64x(key1));
    word[3] = _mm256_and_si256(a, low);
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  const __m256i lower_halves = _mm256_set_epi32(0, 0, 0, 0, 6, 4, 2, 0);
  for (int w = 0; w < 4; ++w) {
    const __m256i packed = _mm256_permutevar8x32_epi32(word[w], lower_halves);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(&numbers.word[16 * w + k]), _mm256_castsi256_si128(packed));
  }
}
#endif

}  // namespace philox

// The numbers of a block, for vectors of kBytes.
template <int kBytes>
EB_HD EB_INLINE void fill(RandomBlock& numbers, std::uint64_t seed, std::uint64_t block) {
#if defined(__AVX2__) && !defined(__CUDACC__)
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
