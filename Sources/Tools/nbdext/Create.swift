import ArgumentParser
import ArrayStore
import Control
import MDFormat
import RAID

struct Create: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Makes an array of sparse member files, of exports of NBD servers, or of both.",
        usage: """
            nbdext create <directory> --level <level> --members <members>
                          --size <size> [<options>]
            """,
        discussion: """
            The array is usable at once: members of zeros have consistent parity. Its size is rounded up to whole \
            stripes. The contents of exports are overwritten with zeros.

            EXAMPLES
              nbdext create a --level 5 --members 4 --size 10G --chunk 64K
              nbdext create b --level 5 --size 1G --member one.img --member two.img \\
                --member 'nbd+unix:///a?socket=a.sock'
            """)

    @Argument(help: "The array's directory; made if it does not exist.")
    var directory: String
    @Option(help: "0 (striping, no redundancy, from 2 members) or 5 (one member may fail, from 3 members).")
    var level: Int32
    @Option(help: "The number of member files, all in the directory.")
    var members: Int?
    @Option(
        help: """
            The location of a member: an NBD URI, a path, or a file's name in the directory. Give it once for each \
            member, in place of --members.
            """)
    var member: [String] = []
    @Option(help: "The array's size: 64M, 10G, 1.5T. \(ByteSize.help)", transform: ByteSize.init(parsing:))
    var size: ByteSize
    @Option(
        help: "The contiguous bytes on a member: a power of two from 4K to 64M.", transform: ByteSize.init(parsing:))
    var chunk = ByteSize(byteCount: 64 << 10)
    @Option(help: "The array's and the export's name (default: the directory's).")
    var name: String?
    @Option(
        help: """
            How a RAID 5 array's parity is corrected after a crash: bitmap (only recent writes are checked; the \
            default), resync (everything is checked), ppl (from logs, even if a member is lost in the crash).
            """)
    var consistency: ArrayConsistency?
    @Flag(help: "Overwrite an existing array, and named members of other arrays.")
    var force = false

    func validate() throws {
        guard RAIDLevel(rawValue: level) != nil else {
            throw ValidationError("RAID level \(level) is not supported; use --level 0 or --level 5")
        }
        guard (members == nil) != member.isEmpty else {
            throw ValidationError("give the number of members with --members, or each one's place with --member")
        }
    }

    func run() throws {
        let level = RAIDLevel(rawValue: self.level)!
        var plan = ArrayStore.Plan(
            level: level, memberCount: members ?? 0, byteCount: size.byteCount,
            chunkByteCount: Int(clamping: chunk.byteCount), name: name ?? ArrayAddress.defaultName(directory),
            consistency: consistency ?? (level == .raid5 ? .bitmap : .resync))
        if !member.isEmpty { plan.members = member.map { MemberLocation($0) } }
        let array = try ArrayStore.create(directory: directory, plan: plan, force: force)
        show(array.text(directory: directory))
    }
}

extension ArrayConsistency: ExpressibleByArgument {}
