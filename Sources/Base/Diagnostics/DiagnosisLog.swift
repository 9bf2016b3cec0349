import Platform

/// Collects diagnoses, and hands the first of each fault to whoever shows them.
///
/// A faulty driver repeats its mistake with every command; the first report says all, the others are counted. What
/// follows from a fault that was reported is not reported as another one.
///
/// Threads: any. The handler is called on the thread that saw the fault, inside whatever it was doing.
public final class DiagnosisLog: Sendable {
    private let lock = Lock()
    // SAFETY: only under `lock`.
    private nonisolated(unsafe) var first: [DriverFault: Diagnosis] = [:]
    private nonisolated(unsafe) var counts: [DriverFault: Int] = [:]
    private let handler: @Sendable (Diagnosis) -> Void

    /// - Parameter handler: gets the first diagnosis of each fault.
    public init(handler: @escaping @Sendable (Diagnosis) -> Void) { self.handler = handler }

    /// Takes note of a fault.
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

    /// Takes note of a fault.
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
