// The results of DriverKit's calls, and the parts of a result.
#ifndef NBDEXT_DRIVERKIT_IORETURN_H
#define NBDEXT_DRIVERKIT_IORETURN_H

/// The result of a call; 0 is success.
typedef int kern_return_t;
typedef kern_return_t IOReturn;

#define KERN_SUCCESS 0
#define err_none ((kern_return_t)0)
#define ERR_SUCCESS ((kern_return_t)0)

// A result is a system (6 bits), a subsystem (12 bits) and a code (14 bits).
#define err_system(x) ((signed)((((unsigned)(x)) & 0x3f) << 26))
#define err_sub(x) (((x) & 0xfff) << 14)
#define err_get_system(error) (((error) >> 26) & 0x3f)
#define err_get_sub(error) (((error) >> 14) & 0xfff)
#define err_get_code(error) ((error) & 0x3fff)
#define err_max_system 0x3f
#define system_emask (err_system(err_max_system))
#define sub_emask (err_sub(0xfff))
#define code_emask (0x3fff)

#define sys_iokit err_system(0x38)
#define sub_iokit_common err_sub(0)
#define sub_iokit_usb err_sub(1)
#define sub_iokit_firewire err_sub(2)
#define sub_iokit_block_storage err_sub(4)
#define sub_iokit_graphics err_sub(5)
#define sub_iokit_networking err_sub(6)
#define sub_iokit_bluetooth err_sub(8)
#define sub_iokit_pmu err_sub(9)
#define sub_iokit_acpi err_sub(10)
#define sub_iokit_smbus err_sub(11)
#define sub_iokit_ahci err_sub(12)
#define sub_iokit_powermanagement err_sub(13)
#define sub_iokit_hidsystem err_sub(14)
#define sub_iokit_scsi err_sub(16)
#define sub_iokit_usbaudio err_sub(17)
#define sub_iokit_wirelesscharging err_sub(18)
#define sub_iokit_thunderbolt err_sub(29)
#define sub_iokit_graphics_acceleration err_sub(30)
#define sub_iokit_keystore err_sub(31)
#define sub_iokit_apfs err_sub(33)
#define sub_iokit_acpiec err_sub(34)
#define sub_iokit_timesync_avb err_sub(35)
#define sub_iokit_platform err_sub(0x2A)
#define sub_iokit_audio_video err_sub(0x45)
#define sub_iokit_cec err_sub(0x46)
#define sub_iokit_arc err_sub(0x47)
#define sub_iokit_baseband err_sub(0x80)
#define sub_iokit_HDA err_sub(0xFE)
#define sub_iokit_hsic err_sub(0x147)
#define sub_iokit_sdio err_sub(0x174)
#define sub_iokit_wlan err_sub(0x208)
#define sub_iokit_appleembeddedsleepwakehandler err_sub(0x209)
#define sub_iokit_appleppm err_sub(0x20A)
#define sub_iokit_vendor_specific err_sub(-2)
#define sub_iokit_reserved err_sub(-1)

#define iokit_common_err(code) (sys_iokit | sub_iokit_common | (code))
#define iokit_family_err(sub, code) (sys_iokit | (sub) | (code))
#define iokit_vendor_specific_err(code) (sys_iokit | sub_iokit_vendor_specific | (code))

#define kIOReturnSuccess KERN_SUCCESS
#define kIOReturnError iokit_common_err(0x2bc)                  ///< General error
#define kIOReturnNoMemory iokit_common_err(0x2bd)               ///< Memory could not be allocated
#define kIOReturnNoResources iokit_common_err(0x2be)            ///< A resource ran out
#define kIOReturnIPCError iokit_common_err(0x2bf)               ///< A message could not be exchanged
#define kIOReturnNoDevice iokit_common_err(0x2c0)               ///< There is no such device
#define kIOReturnNotPrivileged iokit_common_err(0x2c1)          ///< The caller lacks a privilege
#define kIOReturnBadArgument iokit_common_err(0x2c2)            ///< An argument is wrong
#define kIOReturnLockedRead iokit_common_err(0x2c3)             ///< Locked for reading
#define kIOReturnLockedWrite iokit_common_err(0x2c4)            ///< Locked for writing
#define kIOReturnExclusiveAccess iokit_common_err(0x2c5)        ///< In another client's exclusive use
#define kIOReturnBadMessageID iokit_common_err(0x2c6)           ///< Unknown message
#define kIOReturnUnsupported iokit_common_err(0x2c7)            ///< Not supported
#define kIOReturnVMError iokit_common_err(0x2c8)                ///< Virtual memory failed
#define kIOReturnInternalError iokit_common_err(0x2c9)          ///< Internal error
#define kIOReturnIOError iokit_common_err(0x2ca)                ///< Input or output failed
#define kIOReturnCannotLock iokit_common_err(0x2cc)             ///< A lock could not be taken
#define kIOReturnNotOpen iokit_common_err(0x2cd)                ///< Not open
#define kIOReturnNotReadable iokit_common_err(0x2ce)            ///< Not readable
#define kIOReturnNotWritable iokit_common_err(0x2cf)            ///< Not writable
#define kIOReturnNotAligned iokit_common_err(0x2d0)             ///< Wrong alignment
#define kIOReturnBadMedia iokit_common_err(0x2d1)               ///< The medium is bad
#define kIOReturnStillOpen iokit_common_err(0x2d2)              ///< Still open
#define kIOReturnRLDError iokit_common_err(0x2d3)               ///< Linking failed
#define kIOReturnDMAError iokit_common_err(0x2d4)               ///< DMA failed
#define kIOReturnBusy iokit_common_err(0x2d5)                   ///< Busy
#define kIOReturnTimeout iokit_common_err(0x2d6)                ///< The time is up
#define kIOReturnOffline iokit_common_err(0x2d7)                ///< Offline
#define kIOReturnNotReady iokit_common_err(0x2d8)               ///< Not ready
#define kIOReturnNotAttached iokit_common_err(0x2d9)            ///< Not attached
#define kIOReturnNoChannels iokit_common_err(0x2da)             ///< No DMA channel is left
#define kIOReturnNoSpace iokit_common_err(0x2db)                ///< No space is left
#define kIOReturnPortExists iokit_common_err(0x2dd)             ///< The port exists
#define kIOReturnCannotWire iokit_common_err(0x2de)             ///< Memory could not be wired
#define kIOReturnNoInterrupt iokit_common_err(0x2df)            ///< No interrupt is attached
#define kIOReturnNoFrames iokit_common_err(0x2e0)               ///< No frame is in the queue
#define kIOReturnMessageTooLarge iokit_common_err(0x2e1)        ///< The message is too large
#define kIOReturnNotPermitted iokit_common_err(0x2e2)           ///< Not permitted
#define kIOReturnNoPower iokit_common_err(0x2e3)                ///< No power
#define kIOReturnNoMedia iokit_common_err(0x2e4)                ///< No medium
#define kIOReturnUnformattedMedia iokit_common_err(0x2e5)       ///< The medium is not formatted
#define kIOReturnUnsupportedMode iokit_common_err(0x2e6)        ///< The mode is not supported
#define kIOReturnUnderrun iokit_common_err(0x2e7)               ///< Less data than expected
#define kIOReturnOverrun iokit_common_err(0x2e8)                ///< More data than expected
#define kIOReturnDeviceError iokit_common_err(0x2e9)            ///< The device failed
#define kIOReturnNoCompletion iokit_common_err(0x2ea)           ///< A completion routine is needed
#define kIOReturnAborted iokit_common_err(0x2eb)                ///< Aborted
#define kIOReturnNoBandwidth iokit_common_err(0x2ec)            ///< Not enough bandwidth
#define kIOReturnNotResponding iokit_common_err(0x2ed)          ///< The device does not answer
#define kIOReturnIsoTooOld iokit_common_err(0x2ee)              ///< Isochronous request in the past
#define kIOReturnIsoTooNew iokit_common_err(0x2ef)              ///< Isochronous request too far ahead
#define kIOReturnNotFound iokit_common_err(0x2f0)               ///< Not found
#define kIOReturnInvalid iokit_common_err(0x1)

#endif
