/// The contents that each sector of an array may have, now and after a crash.
///
/// Each modification (a write, or zeros) leaves a version in its sectors. A version is *superseded* by another one that
/// began after the first had ended, and that has ended well: later reads must not see the first version. A version is
/// *gone* when a version that supersedes it is durable: not even a loss of power brings it back. Overlapping
/// modifications have no order.
struct SectorModel {
    private struct Version {
        /// The number of the write in the content; 0 for zeros.
        var write: UInt32
        /// Distinguishes modifications with the same content.
        var modification: UInt32
        var begin: UInt64
        /// `.max` while it is under way.
        var end: UInt64 = .max
        /// It ended well, and supersedes the versions that had ended before it began.
        var isDone = false
        var isDurable = false
        /// Reads do not see it; only a loss of power may bring it back.
        var isHidden = false
        /// A failed flush dropped it: no flush makes it durable, and older versions may come back.
        var isDropped = false
        /// When it was known to be gone; `.max` before.
        var goneAt = UInt64.max
    }

    /// The kinds of a crash, which decide the contents that may be found afterwards.
    struct Crash {
        /// Writes to the members that were not flushed may be lost.
        var powerFailed = false
        /// Commands that were answered may not have reached the members.
        var cacheWasLost = false
    }

    private var sectors: [[Version]]
    /// Sectors with versions that are done and not durable.
    private var unflushed: [Int32] = []
    private var isUnflushed: [Bool]

    init(sectorCount: Int) {
        let zero = Version(write: 0, modification: 0, begin: 0, end: 0, isDone: true, isDurable: true)
        sectors = Array(repeating: [zero], count: sectorCount)
        isUnflushed = Array(repeating: false, count: sectorCount)
    }

    var sectorCount: Int { sectors.count }

    // MARK: Modifications

    /// Begins a modification.
    /// - Parameter oldestRead: when the oldest read under way began; versions that were gone before that are removed.
    mutating func begin(_ range: Range<Int>, write: UInt32, modification: UInt32, at time: UInt64, oldestRead: UInt64) {
        for sector in range {
            if sectors[sector].count > 4 { sectors[sector].removeAll { $0.goneAt < oldestRead } }
            sectors[sector].append(Version(write: write, modification: modification, begin: time))
        }
    }

    /// Ends a modification that was answered. After an error, it may have taken place or not.
    mutating func end(_ range: Range<Int>, modification: UInt32, at time: UInt64, isDone: Bool, isDurable: Bool) {
        for sector in range {
            let index = sectors[sector].lastIndex { $0.modification == modification }!
            sectors[sector][index].end = time
            sectors[sector][index].isDone = isDone
            guard isDone else { continue }
            if isDurable { makeDurable(sector, index, at: time) } else { noteUnflushed(sector) }
        }
    }

    /// Takes a flush that was sent at `start` and answered with GOOD at `time`.
    mutating func flushed(since start: UInt64, at time: UInt64) {
        var kept = 0
        for position in unflushed.indices {
            let sector = Int(unflushed[position])
            var isLeft = false
            for index in sectors[sector].indices {
                let version = sectors[sector][index]
                guard version.isDone && !version.isDurable && !version.isDropped else { continue }
                if version.end < start { makeDurable(sector, index, at: time) } else { isLeft = true }
            }
            if isLeft {
                unflushed[kept] = Int32(sector)
                kept += 1
            } else {
                isUnflushed[sector] = false
            }
        }
        unflushed.removeLast(unflushed.count - kept)
    }

    /// Takes a flush that was answered with an error, after the end of the process that knew which data it dropped.
    /// Each sector that was not durable may get an older content at any time, until it is written again.
    mutating func noteDropped() {
        for sector in sectors.indices {
            for index in sectors[sector].indices where !sectors[sector][index].isDurable {
                sectors[sector][index].isDropped = true
            }
        }
    }

    private mutating func makeDurable(_ sector: Int, _ durable: Int, at time: UInt64) {
        sectors[sector][durable].isDurable = true
        let begin = sectors[sector][durable].begin
        for index in sectors[sector].indices where sectors[sector][index].end < begin {
            sectors[sector][index].goneAt = min(sectors[sector][index].goneAt, time)
        }
    }

    // MARK: Checks

    /// Whether a read that began at `start` and ends now may see a write's content in a sector.
    func mayRead(_ write: UInt32, sector: Int, since start: UInt64) -> Bool {
        sectors[sector].contains { $0.write == write && !$0.isHidden && !isSuperseded($0, sector, before: start) }
    }

    /// Whether a sector may hold a write's content after a crash.
    func mayFind(_ write: UInt32, sector: Int, after crash: Crash) -> Bool {
        sectors[sector].contains { version in
            guard version.write == write && version.goneAt == .max else { return false }
            if crash.powerFailed || isUncertain(sector) { return true }
            return !version.isHidden && (crash.cacheWasLost || !isSuperseded(version, sector, before: .max))
        }
    }

    /// Whether a failed flush may have dropped the newest version of a sector.
    private func isUncertain(_ sector: Int) -> Bool { sectors[sector].contains { $0.isDropped && $0.goneAt == .max } }

    private func isSuperseded(_ version: Version, _ sector: Int, before time: UInt64) -> Bool {
        sectors[sector].contains { $0.isDone && $0.begin > version.end && $0.end < time }
    }

    /// Whether a sector was written and is not known to be durable.
    func isBeingWritten(_ sector: Int) -> Bool { sectors[sector].contains { !$0.isDurable && $0.goneAt == .max } }

    /// The contents that a sector may have, for a message.
    func describe(_ sector: Int) -> String {
        sectors[sector].filter { $0.goneAt == .max }.map { version in
            let state =
                version.end == .max
                ? "under way" : !version.isDone ? "failed" : version.isDurable ? "durable" : "done"
            return "write \(version.write) (\(state)\(version.isHidden ? ", replaced" : ""))"
        }.joined(separator: ", ")
    }

    /// Takes the content that a sector was found to have after a crash; the other versions are past. If the power
    /// stayed on, the durable version may still be another one.
    mutating func settle(_ sector: Int, write: UInt32, powerFailed: Bool, at time: UInt64) {
        var now = Version(write: write, modification: 0, begin: time, end: time, isDone: true, isDurable: true)
        let remaining = sectors[sector].filter { $0.goneAt == .max }
        if powerFailed || remaining.count == 1 && remaining[0].isDurable {
            sectors[sector] = [now]
            return
        }
        now.isDropped = isUncertain(sector)
        sectors[sector] = remaining.map { version in
            var past = version
            past.end = min(past.end, time - 1)
            past.isHidden = true
            past.isDone = false
            return past
        }
        now.isDurable = false
        sectors[sector].append(now)
        noteUnflushed(sector)
    }

    private mutating func noteUnflushed(_ sector: Int) {
        guard !isUnflushed[sector] else { return }
        isUnflushed[sector] = true
        unflushed.append(Int32(sector))
    }
}
