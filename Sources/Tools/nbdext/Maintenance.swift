import ArgumentParser
import Control

/// The array that a command is about, and its server.
struct ArrayOptions: ParsableArguments {
    @Argument(help: "The array's directory.")
    var directory: String
    @Option(help: "The server's control socket, if nothing in that directory leads to it.")
    var control: String?

    var address: ArrayAddress { ArrayAddress(directory: directory, control: control) }
}

struct Fail: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Takes a member of a served array out of service.",
        discussion: """
            The array goes on without it, durably: what it holds is old from then on. If the array has a spare, the \
            member is rebuilt onto that, and the command shows the progress; interrupting it leaves the rebuild going on.

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
        abstract: "Lets go of the file of a member that failed, or of a spare.",
        discussion: """
            The server closes the file; it may be deleted, or added again.

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
            The file is made, sparse, if it does not exist. If the array lacks a member, that is rebuilt onto the file, \
            and the command shows the progress; interrupting it leaves the rebuild going on. Otherwise the file is a \
            spare, onto which a member is rebuilt as soon as one fails. If the file is the missing member itself and the \
            array has a bitmap, only what was written without it is copied.

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
        abstract: "Replaces a member of a served array by another one, which is filled while it still serves.",
        discussion: """
            The member is copied onto a spare, or onto the file, which is made, sparse, if it does not exist. The array \
            keeps its redundancy all the time: the new member takes the role when it has everything, and the old one is \
            not used any more. The command shows the progress; interrupting it leaves the replacement going on, and \
            nbdext cancel ends it.

            EXAMPLE
              nbdext replace a 2 member-4.img
            """)

    @OptionGroup var array: ArrayOptions
    @Argument(help: "The member: its role (0, 1, ...) or its file's name.")
    var member: String
    @Argument(help: "The new member's file, in the array's directory. Without it a spare is taken.")
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
            Nothing is changed. Where parity is wrong, either it or some data is; the places are listed. The command \
            shows the progress, and fails if some parity was wrong; interrupting it leaves the check going on.
            """)

    @OptionGroup var array: ArrayOptions

    func run() throws { if try array.address.findsWrongParity({ .check(directory: $0) }) { throw ExitCode.failure } }
}

struct Repair: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "As check, and makes parity right where it was wrong.",
        discussion: "The data is believed, as Linux md does. Look at what check finds before.")

    @OptionGroup var array: ArrayOptions

    func run() throws { _ = try array.address.findsWrongParity { .repair(directory: $0) } }
}

struct Cancel: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ends the check, the repair or the replacement of a served array.",
        discussion: """
            What was to be the new member is a spare again. A rebuild is not cancelled: take the member that is being \
            rebuilt out of service, with fail.
            """)

    @OptionGroup var array: ArrayOptions

    func run() throws { try array.address.tell { .cancel(directory: $0) } }
}
