import ArrayEngine

/// The engine's lane and the working memory with which one thread runs the card. One thread at a time uses a lane.
final class CardLane {
    /// Commands taken from the submission ring at a time.
    static let commandBatch = 64

    let engine: EngineLane
    /// Destage runs that a cache has started, and whose requests are still to be made.
    var destages: [Int] = []
    /// Commands of one unit that waited for its cache, and can go on now.
    var resumed: [UInt32] = []
    /// Whether commands of that unit can go on: those in `resumed`, or starved ones.
    var canResume = false
    /// Commands that are answered together.
    var finished: [UInt32] = []

    init(engine: EngineLane) {
        self.engine = engine
        destages.reserveCapacity(WriteCache.runCapacity)
        resumed.reserveCapacity(256)
        finished.reserveCapacity(256)
    }
}
