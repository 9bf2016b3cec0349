import MDFormat

/// What it takes to continue an interrupted check or repair.
package struct MaintenanceRecord: Sendable, Equatable {
    /// `.check` or `.repair`.
    package var job: MaintenanceSchedule.Job
    /// Everything below has been checked: bytes of a member's data area, a multiple of the unit.
    package var position: UInt64
    /// Bytes of parity that were wrong.
    package var wrongByteCount: UInt64
    /// Where the first of them are: bytes of a member's data area.
    package var wrongPlaces: [UInt64]

    package init(job: MaintenanceSchedule.Job, position: UInt64, wrongByteCount: UInt64, wrongPlaces: [UInt64]) {
        self.job = job
        self.position = position
        self.wrongByteCount = wrongByteCount
        self.wrongPlaces = wrongPlaces
    }

    /// Forgets what was found, and begins at the start.
    package mutating func beginAnew() {
        position = 0
        wrongByteCount = 0
        wrongPlaces = []
    }

    /// Whether an array of that shape can have left this record.
    package func isPossible(in geometry: ArrayGeometry) -> Bool {
        let end = geometry.memberDataByteCount
        return !job.isRecovery && position <= end && position % geometry.unitByteCount == 0 && wrongByteCount <= end
            && wrongPlaces.count <= MaintenanceSchedule.placeCountMax && wrongPlaces.allSatisfy { $0 < end }
    }
}
