/// Neighbouring dirty sectors on their way to the members as one array request.
struct DestageRun: BitwiseCopyable {
    /// Empty when the run is not in use.
    var sectors = SectorRange(first: 0, end: 0)
    /// When the oldest of its pages became dirty.
    var dirtyAt = UInt64.max

    var isInUse: Bool { sectors.end > sectors.first }
}
