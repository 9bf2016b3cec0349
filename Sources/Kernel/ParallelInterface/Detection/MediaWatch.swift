import Diagnostics
import Platform
import SCSI

/// Compares what disks say of their media with what the driver says of them.
///
/// A driver announces that a medium came or went. Its disks answer commands with sense data that say the same. Sense
/// data without an announcement a moment before or after is the driver's mistake: nobody then drops what is cached of
/// the old medium.
///
/// Threads: any.
final class MediaWatch: Sendable {
    private enum Medium {
        /// The disk is being asked.
        case unknown
        case present
        case absent
    }

    private struct Suspicion {
        /// When it is the driver's mistake, milliseconds.
        var due: UInt64
        var text: String
    }

    private let lock = Lock()
    // SAFETY: touched only under `lock`.
    private nonisolated(unsafe) var media: [UnitAddress: Medium] = [:]
    private nonisolated(unsafe) var suspicions: [UnitAddress: Suspicion] = [:]

    /// Notes whether a disk had a medium when it was asked last.
    func settle(_ address: UnitAddress, isPresent: Bool) {
        lock.withLock { media[address] = isPresent ? .present : .absent }
    }

    /// Notes that the driver has announced a change. The disks are asked afterwards.
    func announced() {
        lock.withLock {
            suspicions = [:]
            for address in media.keys { media[address] = .unknown }
        }
    }

    /// Notes sense data.
    /// - Parameters:
    ///   - due: until when an announcement may follow, milliseconds.
    ///   - command: for people, without a verb.
    func note(_ sense: SenseData, at address: UnitAddress, due: UInt64, command: @autoclosure () -> String) {
        guard sense.isMediumNotPresent || sense.isMediumChanged else { return }
        lock.withLock {
            let known = media[address] ?? .unknown
            guard suspicions[address] == nil, sense.isMediumNotPresent ? known == .present : known != .unknown else {
                return
            }
            suspicions[address] = Suspicion(due: due, text: "\(command()) ended with sense \(sense)")
        }
    }

    /// Reports the changes that should have been announced by now.
    func look(now: UInt64, log: DiagnosisLog) {
        let due = lock.withLock {
            let due = suspicions.filter { $0.value.due <= now }
            for address in due.keys {
                suspicions[address] = nil
                // Once for each change.
                media[address] = .unknown
            }
            return due.sorted { $0.key < $1.key }.map(\.value.text)
        }
        for text in due {
            log.report(
                .mediaChangeNotAnnounced, "\(text), and UserCallMediaParametersHaveChanged was not called")
        }
    }
}
