/// What must be, and what may be, written on an array's members about its state.
struct Knowledge {
    /// By role: the survivors know durably that the member has missed something.
    var isRecorded: [Bool]
    /// By role: some survivors may know.
    var mayBeRecorded: [Bool]
    /// By role: the file is not there when the array is opened.
    var isAbsent: [Bool]
    /// The members say that parity may be wrong.
    var isDirty = false
    /// The members say that parity is right. Both false: one or the other.
    var isClean = true

    init(memberCount: Int) {
        isRecorded = Array(repeating: false, count: memberCount)
        mayBeRecorded = isRecorded
        isAbsent = isRecorded
    }

    /// The roles that an array must be opened without.
    var outCount: Int { isRecorded.indices.count { isRecorded[$0] || isAbsent[$0] } }
    /// The roles that it may be opened without.
    var outCountMax: Int { isRecorded.indices.count { isRecorded[$0] || mayBeRecorded[$0] || isAbsent[$0] } }
}
