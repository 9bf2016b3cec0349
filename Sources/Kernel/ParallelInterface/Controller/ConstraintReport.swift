import Platform
import SCSIControllerDriverKit

/// What a driver has reported of its HBA's limits.
///
/// Threads: any.
final class ConstraintReport: @unchecked Sendable {
    // SAFETY: used under `lock`, except that `constraints` is read without it, after the driver has initialised itself.
    private let lock = Lock()
    private let isKext: Bool
    private var dictionary: OSDictionary?
    private var isOpen = true
    /// The driver is being started again. It must report the same constraints, since the block layer has used them.
    private var isRestarting = false
    /// The limits that the driver reported; the defaults before.
    private(set) var constraints = HBAConstraints()

    init(isKext: Bool) { self.isKext = isKext }

    /// The driver's report; nil until then.
    var reported: OSDictionary? { lock.withLock { dictionary } }

    /// Refuses reports from now on.
    func close() {
        lock.withLock {
            assert(!isRestarting, "the first report ends while a driver is started again")
            isOpen = false
        }
    }

    /// Notes whether the driver is being started again, and so may report once more.
    func setRestarting(_ isRestarting: Bool) {
        lock.withLock {
            self.isRestarting = isRestarting
            isOpen = isRestarting
        }
    }

    /// Takes a driver's report.
    /// - Returns: `kIOReturnNotReady` when it is too late; `kIOReturnBadArgument` if a restarted driver reports other
    ///   limits than before.
    func take(_ report: OSDictionary) -> kern_return_t {
        lock.withLock {
            guard isOpen else { return kIOReturnNotReady }
            if isRestarting { return report == dictionary ? kIOReturnSuccess : kIOReturnBadArgument }
            dictionary = report
            constraints = HBAConstraints(properties: report, allowsByteAndBlockCounts: isKext)
            return kIOReturnSuccess
        }
    }
}
