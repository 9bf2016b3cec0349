import Platform

/// Collects diagnoses, and passes the first one of each fault to a handler.
///
/// A faulty driver repeats its mistake with every command, so later diagnoses of the same fault are only counted. The
/// consequences of a reported fault (`DriverFault.consequences`) are not reported as faults of their own.
///
/// Threads: any. The handler is called without a lock, on the thread that saw the fault and in the middle of its work.
public final class DiagnosisLog: Sendable {
    private let lock = Lock()
    // SAFETY: both are touched only under `lock`.
    private nonisolated(unsafe) var first: [DriverFault: Diagnosis] = [:]
    private nonisolated(unsafe) var counts: [DriverFault: Int] = [:]
    private let handler: @Sendable (Diagnosis) -> Void

    /// - Parameter handler: gets the first diagnosis of each fault.
    public init(handler: @escaping @Sendable (Diagnosis) -> Void) { self.handler = handler }

    /// Counts a fault, and passes it to the handler if it is the first of its kind.
    public func report(_ diagnosis: Diagnosis) {
        let isFirst = lock.withLock {
            let isNew = first[diagnosis.fault] == nil
            if isNew && first.keys.contains(where: { $0.consequences.contains(diagnosis.fault) }) { return false }
            counts[diagnosis.fault, default: 0] += 1
            guard isNew else { return false }
            first[diagnosis.fault] = diagnosis
            return true
        }
        if isFirst { handler(diagnosis) }
    }

    /// Counts a fault, as `report(_:)` does.
    public func report(_ fault: DriverFault, _ detail: String, picture: [String] = []) {
        report(Diagnosis(fault, detail, picture: picture))
    }

    /// The first diagnosis of each fault seen so far, in the catalogue's order.
    public var diagnoses: [Diagnosis] {
        lock.withLock { DriverFault.allCases.compactMap { first[$0] } }
    }

    /// How often a fault was seen.
    public func count(of fault: DriverFault) -> Int { lock.withLock { counts[fault] ?? 0 } }
}
