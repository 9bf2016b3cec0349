import MDFormat
import Platform
import RAID

/// Prepares an array for being served: makes its parity right, and its bitmap or its logs fit for a planner to continue
/// from.
///
/// The order makes a crash on the way harmless. Parity is durable before a bit is cleared or a log is emptied, and
/// those are durable before superblocks record the array as clean.
struct ArrayRecovery {
    /// The state of the array afterwards.
    struct Outcome {
        /// Whether parity is right everywhere.
        var isClean: Bool
        var consistency: ConsistencyPolicy
    }

    private let scan: MemberScan
    private let directory: String
    private let force: Bool
    private let report: MessageSink
    private let startUp: StartUp

    /// - Parameter force: whether unreadable data may be computed from parity that may be wrong.
    init(_ scan: MemberScan, directory: String, force: Bool, in environment: ArrayStore.Environment) {
        self.scan = scan
        self.directory = directory
        self.force = force
        report = environment.report
        startUp = environment.startUp
    }

    private var isComplete: Bool { scan.missingRoles.isEmpty }
    private var isClean: Bool { scan.isClean }

    /// Recovers an array that will be written to.
    func run() throws(ArrayStoreError) -> Outcome {
        guard scan.geometry.level == .raid5 else { return Outcome(isClean: true, consistency: .resync) }
        if !isClean { report("the array in \(directory) was not stopped cleanly", .warning) }
        switch scan.newest.consistency {
        case .resync:
            if !isClean && isComplete { try resync([unsynced]) }
            return Outcome(isClean: isClean || isComplete, consistency: .resync)
        case .bitmap: return try recoverWithBitmap()
        case .ppl: return try recoverWithLogs()
        }
    }

    /// The outcome for an array that will only be read.
    func withoutWriting() -> Outcome { Outcome(isClean: isClean, consistency: .resync) }

    /// The part of the members' data whose parity, according to the superblocks, is not known to be right.
    private var unsynced: Range<UInt64> {
        let isAll = scan.newest.resyncOffset == 0
        return (isAll ? 0 : scan.checkpoint ?? 0)..<scan.geometry.memberDataByteCount
    }

    private func resync(_ ranges: [Range<UInt64>]) throws(ArrayStoreError) {
        let byteCount = ranges.reduce(UInt64(0)) { $0 + UInt64($1.count) }
        report("checking the parity of \(byteCount >> 10) KiB of each member", .notice)
        let repaired = try resync(ranges, scan.members)
        report("parity is right again: \(repaired) bytes were rewritten", .notice)
        try resyncReplacement(ranges)
    }

    /// - Returns: the number of bytes of parity that were rewritten.
    private func resync(_ ranges: [Range<UInt64>], _ members: [ArrayMember?]) throws(ArrayStoreError) -> UInt64 {
        let resync = ParityResync(
            scan.geometry, members.compactMap { $0?.store }, computesUnreadable: force, startUp: startUp)
        startUp.begin(
            "checking the parity of the array in \(directory)", total: ranges.reduce(0) { $0 + UInt64($1.count) })
        // Also when the resync fails later.
        defer {
            if !resync.computed.isEmpty {
                report(
                    "\(resync.computed.count) blocks of 4096 bytes could not be read and were computed from the other "
                        + "members; the array's bytes \(Self.list(resync.computed)) may come back wrong", .warning)
            }
        }
        try resync.run(ranges)
        return resync.repairedByteCount
    }

    /// Ranges as text for the user: the first few.
    static func list(_ ranges: [Range<UInt64>]) -> String {
        let first = ranges.prefix(8).map { "\($0)" }.joined(separator: ", ")
        return ranges.count > 8 ? "\(first) and \(ranges.count - 8) more places" : first
    }

    /// Makes a replacement equal to the member whose role it takes, where writes to both may have been under way.
    private func resyncReplacement(_ ranges: [Range<UInt64>]) throws(ArrayStoreError) {
        guard let (role, member) = scan.replacement, let source = scan.members[role]?.store else { return }
        _ = try ReplacementResync(scan.geometry, source: source, replacement: member, startUp: startUp).run(ranges)
    }

    // MARK: Bitmap

    private func recoverWithBitmap() throws(ArrayStoreError) -> Outcome {
        let reading = try MemberBitmap.read(scan)
        var bitmap: MDBitmap
        var mustBeWritten = false
        switch reading {
        case .valid(let found): bitmap = found
        case .stale(let reason):
            report("the bitmap of the array in \(directory) is not used: \(reason)", .warning)
            bitmap = MemberBitmap.new(for: scan)
            for index in bitmap.bits.indices { bitmap.bits[index] = 0xFF }
            mustBeWritten = true
        }
        let offsets = scan.members.map { ($0?.superblock ?? scan.newest).bitmapByteOffset ?? 0 }
        let byteCount = UInt64(MDBitmap.byteCount(bitCount: bitmap.bitCount))
        guard offsets.allSatisfy({ byteCount <= scan.geometry.dataByteOffset - $0 }) else {
            throw ArrayStoreError(
                "the bitmap of the array in \(directory) does not fit in front of every member's data; let Linux md "
                    + "make another one (mdadm --grow --bitmap=none, then --bitmap=internal)")
        }
        if scan.changeText != nil { mustBeWritten = true }
        if let checkpoint = scan.checkpoint {
            // No bits were set for that range. While a member is missing they stay set, for the member that will come.
            bitmap.set(checkpoint..<scan.geometry.memberDataByteCount)
            mustBeWritten = true
        }
        if isComplete && (!isClean || mustBeWritten) {
            if !isClean { try resync(bitmap.setRegions(within: 0..<scan.geometry.memberDataByteCount)) }
            for index in bitmap.bits.indices { bitmap.bits[index] = 0 }
            mustBeWritten = true
        }
        if mustBeWritten {
            bitmap.events = scan.newest.events
            if isComplete { bitmap.eventsCleared = bitmap.events }
            try MemberBitmap.write(bitmap, to: scan.members)
        }
        return Outcome(
            isClean: isClean || isComplete, consistency: .bitmap(BitmapArea(byteOffsets: offsets, bitmap: bitmap)))
    }

    // MARK: Partial parity logs

    private func recoverWithLogs() throws(ArrayStoreError) -> Outcome {
        // Nothing is written to an array that is refused.
        let area = try logArea()
        var recovery = PartialParityRecovery(scan, startUp: startUp)
        var isRecovered = isClean
        if !isClean {
            let outcome = try recovery.replay()
            report("\(outcome.entryCount) entries of its partial parity logs were replayed", .notice)
            if outcome.mismatchCount > 0 {
                report(
                    "\(outcome.mismatchCount) of its logs or their entries are torn or damaged, and were skipped",
                    .warning)
            }
            // Like md: logs without any entry prove nothing, since the array's parity was perhaps never made.
            isRecovered = outcome.entryCount > 0 && outcome.mismatchCount == 0 && scan.checkpoint == nil
            if !isRecovered && isComplete {
                try resync([unsynced])
                isRecovered = true
            }
            try resyncReplacement(outcome.ranges)
            if outcome.mismatchCount > 0 { try resyncParityOfRecovering() }
        }
        try recovery.empty()
        return Outcome(isClean: isRecovered, consistency: .partialParityLog(area))
    }

    /// Corrects the parity on a member that is being rebuilt. It may have been a replacement until just before the
    /// crash: then the record of the writes under way is in its predecessor's log, and all data is on the other
    /// members.
    private func resyncParityOfRecovering() throws(ArrayStoreError) {
        guard let (role, member) = scan.recovering.first, scan.missingRoles == [role] else { return }
        let (geometry, chunk) = (scan.geometry, scan.geometry.chunkByteCount)
        let end = min(member.superblock.recoveryByteOffset ?? 0, geometry.memberDataByteCount)
        let ranges = (0..<(end + chunk - 1) / chunk)
            .filter { geometry.parityMember(stripe: $0) == role }
            .map { $0 * chunk..<min(($0 + 1) * chunk, end) }
        var members = scan.members
        members[role] = member
        _ = try resync(ranges, members)
    }

    private func logArea() throws(ArrayStoreError) -> PartialParityLogArea {
        let ranges = scan.members.map { ($0?.superblock ?? scan.newest).partialParityLogRange ?? 0..<0 }
        let byteCount = ranges.map(\.count).min() ?? 0
        guard byteCount >= PartialParityLogArea.byteCountMin else {
            throw ArrayStoreError(
                "the partial parity logs of the array in \(directory) have \(byteCount >> 10) KiB, and at least "
                    + "\(PartialParityLogArea.byteCountMin >> 10) are needed; turn them off with Linux md: "
                    + "mdadm --grow --consistency-policy=resync")
        }
        return PartialParityLogArea(
            byteOffsets: ranges.map(\.lowerBound), byteCount: byteCount,
            signature: MDPartialParityLog.signature(setUUID: scan.newest.setUUID),
            generations: Array(repeating: 0, count: ranges.count))
    }
}

extension MDBitmap {
    /// Sets the bits of all regions that a range of the members' data touches.
    mutating func set(_ range: Range<UInt64>) {
        guard !range.isEmpty else { return }
        for bit in Int(range.lowerBound / chunkByteCount)...Int((range.upperBound - 1) / chunkByteCount) {
            bits[bit / 8] |= 1 << UInt8(bit % 8)
        }
    }

    /// The parts of a range of the members' data whose bits are set. Adjacent parts are joined.
    func setRegions(within range: Range<UInt64>) -> [Range<UInt64>] {
        var regions: [Range<UInt64>] = []
        for bit in 0..<bitCount where isSet(bit) {
            let region = (UInt64(bit) * chunkByteCount..<UInt64(bit + 1) * chunkByteCount).clamped(to: range)
            guard !region.isEmpty else { continue }
            if let last = regions.last, last.upperBound == region.lowerBound {
                regions[regions.count - 1] = last.lowerBound..<region.upperBound
            } else {
                regions.append(region)
            }
        }
        return regions
    }
}
