"""Names of the original code, for UNets whose blocks have different numbers of residual ones."""

from __future__ import annotations

import pytest
from diffusers import UNet2DConditionModel

from streamv2v_cli.models.loras.names import layers_by_name


@pytest.mark.parametrize("layers", [2, (2, 2, 2), (1, 3, 2), (0, 1, 1)])
def test_blocks_are_counted_as_they_are_built(layers: int | tuple[int, ...]) -> None:
    unet = UNet2DConditionModel(
        block_out_channels=(8, 8, 8),
        layers_per_block=layers,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=8,
        attention_head_dim=2,
        norm_num_groups=4,
    )
    names = layers_by_name(unet)
    number = 1
    for block in unet.down_blocks:
        for place, residual in enumerate(block.resnets):
            assert names[f"input_blocks_{number}_0_in_layers_2"] is residual.conv1
            if hasattr(block, "attentions"):
                assert names[f"input_blocks_{number}_1_proj_in"] is block.attentions[place].proj_in
            number += 1
        for sampler in block.downsamplers or ():
            assert names[f"input_blocks_{number}_0_op"] is sampler.conv
            number += 1
    number = 0
    for block in unet.up_blocks:
        for residual in block.resnets:
            assert names[f"output_blocks_{number}_0_skip_connection"] is residual.conv_shortcut
            number += 1
        for sampler in block.upsamplers or ():
            place = 1 + hasattr(block, "attentions")
            assert names[f"output_blocks_{number - 1}_{place}_conv"] is sampler.conv
