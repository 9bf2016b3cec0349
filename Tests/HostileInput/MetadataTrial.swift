import ArrayEngine
import ArrayStore
import MDFormat
import MemberIO
import RAID

/// Does to the members of an array what commands and a server do with their metadata, whatever that is: they may be
/// refused, but nothing may trap, and members that are refused are not written to.
package enum MetadataTrial {
    /// What came of it.
    package struct Outcome: Sendable {
        /// Why the array was not opened; nil when it was.
        package var refusal: String?
        /// Whether something was written although the array was refused.
        package var hasWritten = false
    }

    private static let environment = ArrayStore.Environment(
        clock: { 1_700_000_000 }, report: { _, _ in }, makeBay: { IdleBay() })

    /// - Parameters:
    ///   - members: in any order.
    ///   - job: what the file of an interrupted check contains.
    ///   - force: an array that is dirty and degraded is opened.
    package static func run(_ members: [SparseMember], job: [UInt8] = [], force: Bool) -> Outcome {
        var outcome = look(at: members, job: job)
        let writeCount = members.reduce(0) { $0 + $1.writeCount }
        do throws(ArrayStoreError) {
            let array = try open(members, readOnly: false, force: force)
            try? serve(array)
        } catch {
            outcome.refusal = error.description
            let hasWritten = members.reduce(0) { $0 + $1.writeCount } != writeCount
            if hasWritten && error.kind != .memberIO { outcome.hasWritten = true }
            return outcome
        }
        // And again with what it has become.
        if let array = try? open(members, readOnly: false, force: force) { try? serve(array) }
        return outcome
    }

    /// What only reads.
    private static func look(at members: [SparseMember], job: [UInt8]) -> Outcome {
        let writeCount = members.reduce(0) { $0 + $1.writeCount }
        _ = try? ArrayStore.describe(members, directory: "trial") { uuid, geometry in
            let text = String(decoding: job, as: UTF8.self)
            let record = JobFile.parse(text, uuid: ArrayStore.uuidText(uuid).filter { $0 != ":" }, geometry)
            if let record { go(on: record, geometry) }
            return record
        }
        if let array = try? open(members, readOnly: true, force: true) {
            _ = try? LiveArray(array, requestCapacity: 8)
        }
        return Outcome(hasWritten: members.reduce(0) { $0 + $1.writeCount } != writeCount)
    }

    private static func open(
        _ members: [SparseMember], readOnly: Bool, force: Bool
    ) throws(ArrayStoreError) -> OpenedArray {
        try ArrayStore.open(members: members, directory: "trial", readOnly: readOnly, force: force, in: environment)
    }

    /// From the first write to the end of a server, with a member that fails and comes back between.
    private static func serve(_ array: OpenedArray) throws(ArrayStoreError) {
        guard (try? LiveArray(array, requestCapacity: 8)) != nil else { return }
        try array.markDirty()
        _ = array.memberStates
        _ = array.nextData(from: 0)
        if array.geometry.level == .raid5 { try changeMembers(of: array) }
        try array.markClean()
    }

    private static func changeMembers(of array: OpenedArray) throws(ArrayStoreError) {
        if array.failedMembers.isEmpty && array.replacementState == nil && array.hasSpare {
            try? array.beginReplacement(of: 0, by: nil)
            _ = try array.recordRecovery(byteCount: array.geometry.chunkByteCount)
            _ = array.endReplacement(isFaulty: false)
        }
        if array.failedMembers.isEmpty { _ = array.recordFailure(role: 1) }
        _ = try array.activateSpare()
        if array.recoveringMember != nil {
            _ = try array.recordRecovery(byteCount: array.geometry.memberDataByteCount)
            _ = try array.endRecovery()
        }
    }

    /// The first steps of a check that is gone on with.
    package static func go(on record: MaintenanceRecord, _ geometry: ArrayGeometry) {
        var schedule = MaintenanceSchedule(resuming: record, geometry: geometry)
        for step in 0..<UInt64(8) {
            switch schedule.next(now: step << 40, clientOperations: step) {
            case .look(let position): schedule.found(data: position)
            case .submit(let request):
                schedule.submitted(request, now: step << 40)
                schedule.ended(MaintenanceOutcome(request: request, result: .done, wrongBlocks: .max))
            case .record, .wait, .pause: break
            case .end: return
            }
        }
    }
}
