import Glibc

/// Milliseconds since some fixed moment, good to a few milliseconds and cheap: CLOCK_MONOTONIC_COARSE.
package func monotonicMilliseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now)
    return UInt64(now.tv_sec) * 1000 + UInt64(now.tv_nsec) / 1_000_000
}

/// Nanoseconds since some fixed moment: CLOCK_MONOTONIC, which costs about 20 ns.
package func monotonicNanoseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
}
