import ArrayEngine
import RAID

/// How the card's commands use the volatile write-back cache.
extension RAIDController {
    /// Drops the content of all write caches, as a loss of power does, so that its effects can be examined. Data on its
    /// way to the members may still arrive there. A SYNCHRONIZE CACHE that waits for dropped data fails. Afterwards the
    /// caches are empty and go on working. Any thread, also while commands run.
    /// - Returns: the bytes dropped.
    package func powerCut() -> UInt64 { units.reduce(0) { $0 + ($1.cache?.powerCut() ?? 0) } }

    /// Carries out the cache's verdict on a command, and requests the destages that the verdict started.
    /// - Returns: false when the command waits for room or for a destage run.
    func admit(
        _ number: UInt32, isStarved: Bool, _ cache: WriteCache, _ unit: LogicalUnit, _ lane: CardLane
    ) -> Bool {
        assert(lane.destages.isEmpty, "destages of another command are not requested")
        // A command that waits belongs to the lane that resumes it, perhaps before this call returns.
        let verdict = cache.admit(
            number, commands[number], engine.requests[Int(number)], isStarved: isStarved, started: &lane.destages)
        for run in lane.destages {
            let tag = UInt32(Self.commandCapacity + run)
            engine.requests[Int(tag)] = cache.request(ofRun: run, tag: tag)
            engine.submit(tag, to: unit.array, on: lane.engine)
        }
        lane.destages.removeAll(keepingCapacity: true)
        switch verdict {
        case .run: engine.submit(number, to: unit.array, on: lane.engine)
        case .copyIn(let first): copy(number, first, isWrite: true, cache, lane)
        case .copyOut(let first): copy(number, first, isWrite: false, cache, lane)
        case .waits: break
        case .starves: return false
        case .failed(let status): finish(number, unit, lane, status: status)
        }
        return true
    }

    private func copy(_ number: UInt32, _ first: Int32, isWrite: Bool, _ cache: WriteCache, _ lane: CardLane) {
        let request = engine.requests[Int(number)]
        let sectors = SectorRange(of: request)
        cache.copy(sectors, request.memory!, first: first, isWrite: isWrite)
        if cache.endCopy(sectors, first: first, isWrite: isWrite, resuming: &lane.resumed) { lane.canResume = true }
        finish(number, lane, sense: nil)
    }

    /// Ends a destage, which is an array request whose tag is above those of the commands.
    func endDestage(_ finished: FinishedRequest, _ lane: CardLane, _ unit: LogicalUnit) {
        let run = Int(finished.tag) - Self.commandCapacity
        assert(run >= 0 && run < WriteCache.runCapacity, "the request is no destage")
        if unit.cache!.endRun(run, finished.status, resuming: &lane.resumed) { lane.canResume = true }
    }

    /// Resumes the commands that waited for pages which this lane released; then starved ones, oldest first, until one
    /// still finds no room.
    func resumeCommands(_ lane: CardLane, _ unit: LogicalUnit) {
        guard let cache = unit.cache else { return }
        while lane.canResume {
            lane.canResume = false
            var next = 0
            while next < lane.resumed.count {
                _ = admit(lane.resumed[next], isStarved: false, cache, unit, lane)
                next += 1
            }
            lane.resumed.removeAll(keepingCapacity: true)
            while let number = cache.nextStarved(), admit(number, isStarved: true, cache, unit, lane) {}
        }
    }
}
