/// Equal stages that follow each other on the medium: each is one command for the disk.
package struct StageRun: Codable, Equatable, Sendable {
    /// Why a command is sent. All but `data` come from deblocking.
    package enum Purpose: String, Codable, Sendable {
        case data
        /// A read of all blocks that a step touches, into the bounce buffer.
        case readSpan = "read span"
        /// A read of the block in whose middle a write begins.
        case readFirst = "read first block"
        /// A read of the block in whose middle a write ends.
        case readLast = "read last block"
        /// A write of whole blocks out of the bounce buffer.
        case writeSpan = "write span"
    }

    /// Why the commands are sent.
    package var purpose: Purpose
    /// The number of stages.
    package var count: UInt64
    /// Where the first stage begins on the medium, bytes. Each of the others begins where the one before it ends.
    package var byteOffset: UInt64
    /// The size of each stage, bytes.
    package var byteCount: UInt64
    /// The command's name with its length in parentheses: "WRITE(10)".
    package var command: String
    /// The first block of the first stage.
    package var lba: UInt64
    /// Blocks of each stage.
    package var blockCount: UInt64
    /// The command descriptor block of the first stage, in hexadecimal.
    package var firstCDB: String
    /// The command descriptor block of the last stage.
    package var lastCDB: String
    /// The limits that ended the first stage; empty when it reaches the request's end.
    package var limits: [LimitCause]
}

/// The stages of a request in order, as far as it gets.
package struct StageList: Codable, Equatable, Sendable {
    /// The first runs, and the last one.
    package var runs: [StageRun]
    /// Stages between the last two runs that are not listed; their sizes change.
    package var unlistedStageCount: UInt64
    /// All stages that are sent, listed or not.
    package var stageCount: UInt64
}

extension StageList {
    /// Collects stages one by one, and keeps the list short.
    struct Builder {
        /// The most runs listed: as many as a person reads.
        static let runCountMax = 12

        private(set) var list = StageList(runs: [], unlistedStageCount: 0, stageCount: 0)
        private var open: StageRun?

        /// Adds equal stages.
        ///
        /// - Parameters:
        ///   - transfer: the first of them.
        ///   - limits: the limits that ended it; called only when it begins a run.
        mutating func append(_ transfer: StageTransfer, count: UInt64, limits: () -> [LimitCause]) {
            var first = transfer
            var rest = count
            while rest > 0 {
                let length = min(rest, first.countOfSameCommand)
                add(first, count: length, limits: limits)
                first.byteOffset += length * first.byteCount
                rest -= length
            }
        }

        private mutating func add(_ transfer: StageTransfer, count: UInt64, limits: () -> [LimitCause]) {
            list.stageCount += count
            if let run = open {
                let end = run.byteOffset + run.count * run.byteCount
                if run.purpose == transfer.purpose, run.byteCount == transfer.byteCount, end == transfer.byteOffset,
                    run.command == transfer.command
                {
                    open!.count += count
                    return
                }
                close()
            }
            let cdb = transfer.cdb.description
            open = StageRun(
                purpose: transfer.purpose, count: count, byteOffset: transfer.byteOffset,
                byteCount: transfer.byteCount, command: transfer.command, lba: transfer.lba,
                blockCount: transfer.blockCount, firstCDB: cdb, lastCDB: cdb, limits: limits())
        }

        /// The list, once all stages are in it.
        mutating func finish() -> StageList {
            if let run = open { list.runs.append(Self.withLastCDB(run)) }
            open = nil
            return list
        }

        private mutating func close() {
            if list.runs.count < Self.runCountMax - 1 {
                list.runs.append(Self.withLastCDB(open!))
            } else {
                list.unlistedStageCount += open!.count
            }
        }

        private static func withLastCDB(_ run: StageRun) -> StageRun {
            var run = run
            let last = StageTransfer(
                purpose: run.purpose, isWrite: run.command.hasPrefix("WRITE"),
                byteOffset: run.byteOffset + (run.count - 1) * run.byteCount, byteCount: run.byteCount, address: 0)
            run.lastCDB = last.cdb.description
            return run
        }
    }
}
