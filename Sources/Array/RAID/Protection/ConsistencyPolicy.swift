import MDFormat

/// What keeps the parity of a RAID 5 array right through a crash, and where it is on the members.
package enum ConsistencyPolicy: Sendable {
    /// Nothing: after a crash all parity is computed anew.
    case resync
    /// What is about to be written is noted by region: after a crash those regions' parity is computed anew.
    case bitmap(BitmapArea)
    /// Each write's partial parity is logged before: after a crash the logged rows' parity is made right, without
    /// looking at anything else, and also without a member that was not being written.
    case partialParityLog(PartialParityLogArea)
}

/// Where an array's write-intent bitmap is, and what it says.
package struct BitmapArea: Sendable {
    /// By role: the byte in the member file at which the bitmap's header begins.
    package var byteOffsets: [UInt64]
    /// As it is, durably and alike, on every member that is there.
    package var bitmap: MDBitmap

    package init(byteOffsets: [UInt64], bitmap: MDBitmap) {
        self.byteOffsets = byteOffsets
        self.bitmap = bitmap
    }
}

/// Where the members' partial parity logs are. Each begins with a valid header, of rows that need no recovery any more.
package struct PartialParityLogArea: Sendable {
    /// The smallest area that can be used, bytes: a header and the partial parity of one operation.
    package static let byteCountMin = MDPartialParityLog.headerByteCount + ScratchPool.largeRowByteCount

    /// By role: the byte in the member file at which the log begins.
    package var byteOffsets: [UInt64]
    /// Room for each log, `byteCountMin` bytes or more.
    package var byteCount: Int
    /// `MDPartialParityLog.signature` of the array.
    package var signature: UInt32
    /// By role: of the last header that was written.
    package var generations: [UInt64]

    package init(byteOffsets: [UInt64], byteCount: Int, signature: UInt32, generations: [UInt64]) {
        self.byteOffsets = byteOffsets
        self.byteCount = byteCount
        self.signature = signature
        self.generations = generations
    }
}
