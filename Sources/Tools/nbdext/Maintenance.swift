import ArgumentParser
import Control

/// The array that a command is about, and its server.
struct ArrayOptions: ParsableArguments {
    @Argument(help: "The array's directory.")
    var directory: String
    @Option(help: "The server's control socket, if that directory has no link to it.")
    var control: String?

    var address: ArrayAddress { ArrayAddress(directory: directory, control: control) }
}

struct Fail: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Takes a member of a served array out of service.",
        discussion: """
            The other members record this durably, and the member's data is old from then on. If the array has a \
            spare, the member is rebuilt onto it. The command shows the progress; if you interrupt it, the rebuild \
            continues.

            EXAMPLE
              nbdext fail a 2
            """)

    @OptionGroup var array: ArrayOptions
    @Argument(help: "The member: its role (0, 1, ...) or its file's name.")
    var member: String

    func run() throws { try array.address.change { .fail(directory: $0, member: member) } }
}

struct Remove: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Releases the file of a failed member or of a spare.",
        discussion: """
            The server closes the file. You may then delete it, or add it again.

            EXAMPLE
              nbdext remove a 2
            """)

    @OptionGroup var array: ArrayOptions
    @Argument(help: "The member: its role (0, 1, ...) or its file's name.")
    var member: String

    func run() throws { try array.address.tell { .remove(directory: $0, member: member) } }
}

struct Add: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Adds a member to a served array: in the place of a missing one, or as a spare.",
        discussion: """
            If the file does not exist, it is created, sparse. If the array lacks a member, that member is rebuilt \
            onto the file. The command shows the progress; if you interrupt it, the rebuild continues. Otherwise the file \
            becomes a spare, which takes the place of the next member that fails. If the file is the missing member \
            itself and the array has a bitmap, only what it missed is copied.

            EXAMPLE
              nbdext add a member-4.img
              nbdext add a 'nbd+unix:///b?socket=b.sock'
            """)

    @OptionGroup var array: ArrayOptions
    @Argument(help: "The file, in the array's directory, or the NBD URI of an export.")
    var file: String

    func run() throws { try array.address.change { .add(directory: $0, member: try array.address.memberName(file)) } }
}

struct Replace: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Copies a member of a served array onto a new one, which then replaces it.",
        discussion: """
            The member is copied onto a spare, or onto the file, which is created, sparse, if it does not exist. The \
            array keeps its redundancy all the time: the new member takes the role when the copy is complete, and the \
            old one is no longer used. The command shows the progress; if you interrupt it, the replacement continues, \
            and nbdext cancel ends it.

            EXAMPLE
              nbdext replace a 2 member-4.img
            """)

    @OptionGroup var array: ArrayOptions
    @Argument(help: "The member: its role (0, 1, ...) or its file's name.")
    var member: String
    @Argument(help: "The new member's file, in the array's directory. Without it a spare is used.")
    var file: String?

    func run() throws {
        let name = try file.map { try array.address.memberName($0) }
        try array.address.change { .replace(directory: $0, member: member, by: name) }
    }
}

struct Check: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Compares the parity of a served array with its data.",
        discussion: """
            Nothing is changed. The places with wrong parity are listed; in each, either the parity or some data is \
            wrong. The command shows the progress, and fails if any parity was wrong. If you interrupt it, the check \
            continues.
            """)

    @OptionGroup var array: ArrayOptions

    func run() throws { if try array.address.findsWrongParity({ .check(directory: $0) }) { throw ExitCode.failure } }
}

struct Repair: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Checks the parity of a served array, and corrects it where it is wrong.",
        discussion: "Like Linux md, repair assumes that the data is right. Look at the result of check first.")

    @OptionGroup var array: ArrayOptions

    func run() throws { _ = try array.address.findsWrongParity { .repair(directory: $0) } }
}

struct Cancel: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ends the check, the repair or the replacement of a served array.",
        discussion: """
            After a cancelled replacement, the new member is a spare again. A rebuild cannot be cancelled: use fail to \
            take the member that is being rebuilt out of service.
            """)

    @OptionGroup var array: ArrayOptions

    func run() throws { try array.address.tell { .cancel(directory: $0) } }
}
