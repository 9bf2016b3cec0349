/// The card's register window: byte offsets in BAR 0 of registers of 32 bits. With CRAIDCard.h, this is the card's data
/// sheet; `CardRingClient` is a driver's part of it.
///
/// The driver allocates two rings in memory and programs their bus addresses. It writes command descriptors,
/// then the new tail into `submissionTail` (one write for any number of commands). The card writes completion
/// descriptors, then its producer index into the first word of the completion ring, and asserts its interrupt
/// line. Indices run freely and wrap at 2^32; a ring's capacity is a power of two. The completion ring must have room
/// for all commands under way, so the driver need not tell the card which completions it has read.
public enum RAIDControllerRegister {
    /// Read only: `identity`.
    public static let identification = 0x00
    /// Write `controlEnable` after the rings are programmed; write 0 to reset.
    public static let control = 0x04
    /// Read only: the number of targets behind the card. Their IDs are 0 ..< count.
    public static let targetCount = 0x08
    /// Read only: the number of logical units (arrays) of each target. Their numbers are 0 ..< count.
    public static let logicalUnitCount = 0x0C
    /// Bus address of the submission ring, low word.
    public static let submissionBaseLow = 0x10
    /// Bus address of the submission ring, high word.
    public static let submissionBaseHigh = 0x14
    /// Capacity of the submission ring in entries.
    public static let submissionCapacity = 0x18
    /// Doorbell: the free-running index one past the last command written.
    public static let submissionTail = 0x1C
    /// Bus address of the completion ring, low word.
    public static let completionBaseLow = 0x20
    /// Bus address of the completion ring, high word.
    public static let completionBaseHigh = 0x24
    /// Capacity of the completion ring in entries.
    public static let completionCapacity = 0x28
    /// Write only: asserts the interrupt line, so that a driver can test its wiring.
    public static let interruptTest = 0x30

    /// The value of `identification`: "RAID" in ASCII.
    public static let identity: UInt32 = 0x5241_4944
    /// The bit of `control` that starts the card.
    public static let controlEnable: UInt32 = 1
}
