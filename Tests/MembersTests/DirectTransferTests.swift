import Glibc
import MemberIO
import TestTraits
import Testing

@testable import Members

@Suite("What errors of the system mean for a member", .blocks)
struct DirectTransferTests {
    @Test("no space refuses a write, and fails a flush, which has lost what was written before")
    func noSpace() {
        for error in [ENOSPC, EDQUOT] {
            #expect(DirectTransfer.status(of: -Int(error), .write) == .noSpace)
            #expect(DirectTransfer.status(of: -Int(error), .flush) == .failed)
        }
        #expect(DirectTransfer.status(of: -Int(EIO), .write) == .failed)
    }

    @Test("an operation that the system does not take says nothing of the member")
    func refusal() {
        for error in [EFAULT, EINVAL, ENOMEM] {
            for kind in [MemberIO.Kind.read, .write, .punch, .zero, .durableWrite, .reread] {
                #expect(DirectTransfer.status(of: -Int(error), kind) == .refused)
            }
            #expect(DirectTransfer.status(of: -Int(error), .flush) == .failed)
        }
    }
}
