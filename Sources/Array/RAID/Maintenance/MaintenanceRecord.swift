import MDFormat

/// A check or a repair that was under way: what it takes to go on with it.
package struct MaintenanceRecord: Sendable, Equatable {
    /// `.check` or `.repair`.
    package var job: MaintenanceSchedule.Job
    /// Everything below has been looked at: bytes of a member's data area, a multiple of the unit.
    package var position: UInt64
    /// What was found below: bytes of parity that were wrong, and where the first ones are.
    package var wrongByteCount: UInt64
    package var wrongPlaces: [UInt64]

    package init(job: MaintenanceSchedule.Job, position: UInt64, wrongByteCount: UInt64, wrongPlaces: [UInt64]) {
        self.job = job
        self.position = position
        self.wrongByteCount = wrongByteCount
        self.wrongPlaces = wrongPlaces
    }

    /// Forgets what was found.
    package mutating func beginAnew() {
        position = 0
        wrongByteCount = 0
        wrongPlaces = []
    }

    /// Whether it can be of an array of that shape.
    package func isPossible(in geometry: ArrayGeometry) -> Bool {
        let end = geometry.memberDataByteCount
        return !job.isRecovery && position <= end && position % geometry.unitByteCount == 0 && wrongByteCount <= end
            && wrongPlaces.count <= MaintenanceSchedule.placeCountMax && wrongPlaces.allSatisfy { $0 < end }
    }
}
