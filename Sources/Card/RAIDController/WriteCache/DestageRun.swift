/// Neighbouring dirty sectors on their way to the members as one array request.
struct DestageRun: BitwiseCopyable {
    /// Empty when the run is not in use.
    var sectors = SectorRange(first: 0, end: 0)
    /// When the oldest of the run's pages became dirty, by the cache's clock.
    var dirtyAt = UInt64.max

    var isInUse: Bool { sectors.end > sectors.first }
}
