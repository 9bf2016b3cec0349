import Glibc
import HardwareBus
import Platform
import RAIDController
import RAIDControllerInterface
import SCSI

/// The rings of a card's fixture, for several threads that each drive a lane of their own.
///
/// Threads: any; a thread uses its own tags, and its own part of the data area.
final class CardDriver: @unchecked Sendable {
    // SAFETY: the fixture and `answers` are touched under `lock`, but for the card, which takes all threads.
    private let fixture: CardFixture
    private let lock = Lock()
    private var answers: [UInt32: RAIDCompletionDescriptor] = [:]
    let card: RAIDController
    let data: UnsafeMutableRawPointer

    struct Command {
        var cdb: CommandDescriptorBlock
        var byteCount = 0
        /// In the data area.
        var offset = 0
        var isWrite = false
    }

    init(_ fixture: CardFixture) {
        self.fixture = fixture
        card = fixture.card
        data = fixture.data
    }

    /// Runs commands together, on a lane of the calling thread.
    /// - Parameter firstTag: the tags from there on are the thread's.
    /// - Returns: the answers in the commands' order.
    func execute(_ batch: [Command], lane: Int, firstTag: UInt32) -> [RAIDCompletionDescriptor] {
        lock.withLock {
            for (index, command) in batch.enumerated() {
                fixture.post(
                    command.cdb, tag: firstTag + UInt32(index), byteCount: command.byteCount, at: command.offset,
                    isWrite: command.isWrite)
            }
            fixture.ring()
        }
        let tags = batch.indices.map { firstTag + UInt32($0) }
        while true {
            let worked = card.run(lane: lane)
            let isDone = lock.withLock {
                for answer in fixture.takeAnswers() { answers[answer.tag] = answer }
                return tags.allSatisfy { answers[$0] != nil }
            }
            if isDone && !card.hasOutstandingWork(lane: lane) { break }
            if worked { continue }
            // The other lane may have the rest of the work.
            if card.hasOutstandingWork(lane: lane) { card.wait(lane: lane, orReadable: -1) } else { usleep(20) }
        }
        return lock.withLock { tags.map { answers.removeValue(forKey: $0)! } }
    }
}
