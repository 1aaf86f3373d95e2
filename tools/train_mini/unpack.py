"""Stage `unpack`: turn the exported model back into checkpoints, to train it further instead of from nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPTextModel

from tools.train_mini.autoencoder import load_vae, to_tensor
from tools.train_mini.checkpoint import write
from tools.train_mini.export import MODEL_DIR
from tools.train_mini.model import PATCH, hush
from tools.train_mini.unet import load_restyler

__all__ = ["unpack_model"]


def unpack_model(work: Path, source: Path = MODEL_DIR) -> None:
    """Write tokenizer, `pca.npz`, `unet.pt` and `decoder.pt` to `work`, from the model that `export` wrote."""
    shutil.copytree(source / "tokenizer", work / "tokenizer", dirs_exist_ok=True)
    vae = AutoencoderTiny.from_pretrained(source, subfolder="vae", torch_dtype=torch.float32)
    basis, mean = read_pca(vae)
    np.savez(work / "pca.npz", basis=basis, mean=mean)
    for name in ("unet.pt", "decoder.pt", "finish.pt"):
        (work / name).unlink(missing_ok=True)
    model, decoder = load_restyler(work), load_vae(work).decoder
    unet = UNet2DConditionModel.from_pretrained(source, subfolder="unet", torch_dtype=torch.float32)
    text = CLIPTextModel.from_pretrained(source, subfolder="text_encoder", torch_dtype=torch.float32)
    model.unet.load_state_dict(hush(unet, undo=True).state_dict())
    model.text.load_state_dict(text.state_dict())
    decoder.load_state_dict(vae.decoder.state_dict())
    for name, module in (("unet.pt", model), ("decoder.pt", decoder)):
        write(work / name, {"ema": module.state_dict(), "model": module.state_dict()})


@torch.no_grad()
def read_pca(vae: AutoencoderTiny) -> tuple[np.ndarray, np.ndarray]:
    """Basis (24, 48) and mean (48,) of the encoder, from what it says of black and of single values."""
    values = PATCH * PATCH * 3
    single = np.zeros((1 + values, values), np.uint8)
    single[np.arange(1, 1 + values), np.arange(values)] = 255
    latents = vae.encoder(to_tensor(single.reshape(-1, PATCH, PATCH, 3))).flatten(1).double().numpy()
    basis = (latents[1:] - latents[0]).T
    mean = np.linalg.lstsq(basis, -latents[0], rcond=None)[0]
    return basis.astype(np.float32), mean.astype(np.float32)
